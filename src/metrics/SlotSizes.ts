import { Effect } from "effect"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import type { SlotSizes } from "./MetricsSnapshot.ts"

const queryMillis = 3000

interface Row {
  readonly retained: string | null
  readonly unconfirmed: string | null
}

/** What Postgres keeps for the slot; undefined when it cannot be asked, or there is no such slot. */
export const querySlotSizes = (admin: Queryable, slotName: string): Effect.Effect<SlotSizes | undefined> =>
  admin
    .query<Row>(
      "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::pg_catalog.text AS retained, " +
        "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn)::pg_catalog.text AS unconfirmed " +
        "FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
      [slotName]
    )
    .pipe(
      Effect.timeout(queryMillis),
      Effect.map(([row]) =>
        row === undefined || row.retained === null || row.unconfirmed === null
          ? undefined
          : {
              retainedWalBytes: Math.max(0, Number(row.retained)),
              unconfirmedWalBytes: Math.max(0, Number(row.unconfirmed))
            }
      ),
      // On a standby there is no present position, and without a database nothing at all.
      Effect.catch(() => Effect.succeed(undefined))
    )
