import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import { nowMillis } from "../../shared/Timers.ts"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import type { SingleFlight } from "../../shared/Coalesce.ts"
import { boundOfWriters, hasOpenWriters } from "./OpenWriters.ts"
import { fromPgError, type PublicationError, publicationError, shown } from "./PublicationError.ts"
import type { PublicationTables } from "./PublicationTables.ts"

const defaultSettleMillis = 30_000
const settlePollMillis = { first: 10, most: 500 }

/** Waits until no transaction is open any more that wrote to the table before it was published. */
export const makeSettle =
  ({ ledger, pool }: PublicationTables, looks: SingleFlight<boolean, PgError>) =>
  (table: TableInfo, deadlineMillis = defaultSettleMillis): Effect.Effect<void, PublicationError> =>
    Effect.gen(function* () {
      const deadline = (yield* nowMillis) + deadlineMillis
      let pauseMillis = settlePollMillis.first
      while (!ledger.isSettled(table.oid)) {
        const bound = ledger.boundOf(table.oid) ?? (yield* boundOfWriters(pool))
        if (ledger.boundOf(table.oid) === undefined) ledger.setBound(table.oid, bound)
        const look = yield* looks.join(`${table.oid} ${bound}`, hasOpenWriters(pool, table.oid, bound))
        if (!look.value) {
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
