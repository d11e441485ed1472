import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { createServer } from "../http/node/Exchange.ts"
import type { JournalTail } from "../http/node/JournalTail.ts"

/**
 * Where workers bring mirrors to that came to them: the journal is written by the main process, and all of them share one port. The
 * socket stands in a directory that only this user may enter, as long as the scope is open. `undefined` where there can be none.
 */
export const tailSocket = (
  tail: JournalTail["Service"]
): Effect.Effect<string | undefined, never, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.try({ try: () => mkdtempSync(join(tmpdir(), "baton-tail-")), catch: String }),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const path = join(directory, "socket")
    const server = createServer((request, response) => {
      if (!tail.take(request, response, request.url ?? "/")) response.writeHead(404).end()
    })
    yield* Effect.addFinalizer(() =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
    )
    yield* Effect.callback<void, string>((resume) => {
      server.once("error", (error) => resume(Effect.fail(error.message)))
      server.listen(path, () => resume(Effect.void))
    })
    return path
  }).pipe(
    Effect.catch((problem) =>
      Effect.as(
        reportFault(
          "BATON-WORKER-TAIL",
          `HTTP workers cannot hand on other instances that want to be sent the journal: ${problem}. ` +
            "Those that come to a worker try again, or read the bucket. Give this user a directory for temporary files, and start again."
        ),
        undefined
      )
    )
  )
