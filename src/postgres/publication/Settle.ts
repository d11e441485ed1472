import { Effect, Exit, type Scope } from "effect"
import type { PgError } from "../errors/PgError.ts"
import { nowMillis } from "../../shared/Timers.ts"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import { makeGather } from "../../shared/Gather.ts"
import { type BoundTable, boundOfWriters, withOpenWriters } from "./OpenWriters.ts"
import { fromPgError, type PublicationError, publicationError, shown } from "./PublicationError.ts"
import type { PublicationTables } from "./PublicationTables.ts"

const defaultSettleMillis = 30_000
const settlePollMillis = { first: 10, most: 500 }

/** Tables that are looked at with one question. */
const mostAtOnce = 256

type Settle = (table: TableInfo, deadlineMillis?: number) => Effect.Effect<void, PublicationError>

/** Waits until no transaction is open any more that wrote to the table before it was published. */
export const makeSettle = ({ ledger, pool }: PublicationTables): Effect.Effect<Settle, never, Scope.Scope> =>
  Effect.gen(function* () {
    const looks = yield* makeGather<BoundTable, boolean, PgError>(mostAtOnce, (asked) =>
      Effect.map(
        withOpenWriters(
          pool,
          asked.map(({ input }) => input)
        ),
        (open) => {
          for (const { done, input } of asked) done(Exit.succeed(open.has(input.oid)))
        }
      )
    )
    return (table, deadlineMillis = defaultSettleMillis) =>
      Effect.gen(function* () {
        const deadline = (yield* nowMillis) + deadlineMillis
        let pauseMillis = settlePollMillis.first
        while (!ledger.isSettled(table.oid)) {
          const bound = ledger.boundOf(table.oid) ?? (yield* boundOfWriters(pool))
          if (ledger.boundOf(table.oid) === undefined) ledger.setBound(table.oid, bound)
          if (!(yield* looks.ask({ oid: table.oid, bound }))) {
            ledger.settle(table.oid, bound)
            continue
          }
          if ((yield* nowMillis) + pauseMillis > deadline) {
            return yield* publicationError(
              "openTransaction",
              `A transaction that wrote to the table "${shown(table)}" before it was published is still open. ` +
                "The shape can be made when that transaction has ended"
            )
          }
          yield* Effect.sleep(pauseMillis)
          pauseMillis = Math.min(2 * pauseMillis, settlePollMillis.most)
        }
      }).pipe(Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error))))
  })
