import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { Publication } from "../postgres/publication/Publication.ts"
import type { Relation } from "../postgres/Relation.ts"
import { catalogueRetryMillis } from "./InstanceTimings.ts"

/** For what the stream waits for: it cannot go on without the answer, so it is asked for until there is one. */
export const untilAnswered = <A, R>(
  what: string,
  question: Effect.Effect<A, unknown, R>
): Effect.Effect<A, never, R> =>
  Effect.catch(question, (error) =>
    Effect.andThen(
      reportFault("BATON-STREAM-WAITS", {
        message: `The stream waits for ${what}: ${error instanceof Error ? error.message : String(error)}. Asked again every ${catalogueRetryMillis} ms.`,
        about: what,
        everyMillis: 10_000
      }),
      Effect.andThen(Effect.sleep(catalogueRetryMillis), untilAnswered(what, question))
    )
  )

/** The stream has shown that old rows of a table lack columns. Nobody waits for this: what fails is logged. */
export const setIdentityAgain = (
  inspector: Pick<Inspector["Service"], "invalidate" | "tableByOid">,
  publication: Pick<Publication["Service"], "ensureTable">,
  relation: Relation
): Effect.Effect<void> =>
  Effect.gen(function* () {
    inspector.invalidate(relation.oid)
    const leaf = yield* inspector.tableByOid(relation.oid)
    // A partition is published with its root, not as a member of its own.
    const rootOid = leaf?.ancestorOids.at(-1)
    const table = rootOid === undefined ? leaf : yield* inspector.tableByOid(rootOid)
    if (table !== undefined) yield* publication.ensureTable(table)
  }).pipe(
    Effect.catch((error) =>
      reportFault("BATON-TABLE-CHANGED", `Cannot set the replica identity again: ${error.message}`)
    )
  )
