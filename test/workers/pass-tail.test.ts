import { existsSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { makeJournalTail } from "../../src/http/node/JournalTail.ts"
import { passTail } from "../../src/workers/PassTail.ts"
import { tailSocket } from "../../src/workers/TailSocket.ts"
import { eventually } from "../../testing/Eventually.ts"
import { FakeConnection, FakeWriter } from "../storage/tail/support.ts"

const at = { segment: 1, position: 0 }

const startWorker = (socketPath: string | undefined) =>
  Effect.gen(function* () {
    const tail = passTail(socketPath)
    const server = createServer((request, response) => {
      if (!tail.take(request, response, request.url ?? "/")) response.writeHead(404).end()
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.sync(() => (server.close(), server.closeAllConnections()))
    )
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/baton/journal?epoch=1&segment=1&position=0`
    return { tail, url }
  })

const get = (url: string, signal?: AbortSignal) =>
  fetch(url, { headers: { authorization: "Bearer secret" }, ...(signal === undefined ? {} : { signal }) })

describe("a worker to which a mirror has come", () => {
  it.live("connects it with the main process, for as long as both want it", () =>
    Effect.gen(function* () {
      const writer = new FakeWriter(1, 1)
      const main = yield* makeJournalTail(writer, Redacted.make("secret"))
      const socketPath = yield* tailSocket(main)
      const { tail, url } = yield* startWorker(socketPath)
      const mirror = new FakeConnection(at)
      const leaving = new AbortController()
      writer.write(700_000)
      writer.show()
      yield* Effect.promise(async () => {
        const response = await get(url, leaving.signal)
        assert.strictEqual(response.status, 200)
        const reader = response.body?.getReader()
        while ((mirror.segments.get(1)?.length ?? 0) < 700_000)
          mirror.write(Buffer.from((await reader?.read())?.value ?? []))
        assert.isTrue(writer.segments.get(1)?.equals(mirror.segments.get(1) ?? Buffer.alloc(0)))
        assert.deepStrictEqual([main.mirrors(), tail.mirrors()], [1, 1])
        leaving.abort()
        await eventually("its end", () => main.mirrors() + tail.mirrors() === 0)

        assert.strictEqual((await fetch(url)).status, 401)
        writer.isWriter = false
        const refused = await get(url)
        assert.strictEqual(refused.status, 503)
        assert.strictEqual(((await refused.json()) as { reason: string }).reason, "notWriter")
      })
    }).pipe(Effect.scoped)
  )

  it.live("says 503 where the main process cannot be asked, and leaves no socket behind", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(
        Effect.flatMap(makeJournalTail(new FakeWriter(1, 1), Redacted.make("secret")), tailSocket)
      )
      assert.isFalse(existsSync(gone ?? ""))
      for (const socketPath of [gone, undefined]) {
        const { url } = yield* startWorker(socketPath)
        const response = yield* Effect.promise(() => get(url))
        assert.strictEqual(response.status, 503)
        assert.strictEqual(response.headers.get("retry-after"), "1")
      }
    }).pipe(Effect.scoped)
  )
})
