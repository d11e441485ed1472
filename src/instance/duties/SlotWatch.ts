import { Effect } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import { faultEnded, reportFault } from "../../telemetry/faults/ReportFault.ts"
import { slotAgainMillis, slotWatchMillis } from "./DutyTimings.ts"

/** What Postgres says of the room that the slot has left. */
export interface SlotRoom {
  readonly walStatus: string | null
  /** Bytes of WAL that may be written until the slot is given up; null where nothing bounds them. */
  readonly safeWalBytes: number | null
  /** `max_slot_wal_keep_size`; null where there is none. */
  readonly keepBytes: number | null
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`

/** What to tell an operator of it; undefined when there is room enough: more than half of what Postgres keeps. */
export const slotTrouble = (slotName: string, room: SlotRoom): string | undefined => {
  const { keepBytes, safeWalBytes, walStatus } = room
  if (walStatus === "unreserved")
    return (
      `Postgres is about to give up the replication slot ${slotName}: it retains more WAL than max_slot_wal_keep_size ` +
      "allows. It recovers if changes are read before the next checkpoint; raise the setting, and look for what holds the stream up."
    )
  if (keepBytes === null || safeWalBytes === null || keepBytes === 0 || safeWalBytes >= keepBytes / 2)
    return undefined
  return (
    `The replication slot ${slotName} has ${megabytes(safeWalBytes)} left of the ${megabytes(keepBytes)} of WAL that Postgres keeps for ` +
    "it (max_slot_wal_keep_size). It recovers when the stream catches up, and is lost when it does not: look for what holds it up " +
    "(a slow disk, a bucket that is away, one large transaction), or raise the setting."
  )
}

interface Row {
  readonly slot: string | null
  readonly keep: string
}

/** As JSON because the columns differ between versions of Postgres. */
const sql = `
  SELECT (SELECT pg_catalog.to_jsonb(s)::pg_catalog.text FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1) AS slot,
    coalesce((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'), '-1') AS keep`

const roomOf = ({ keep, slot }: Row): SlotRoom | undefined => {
  if (slot === null) return undefined
  const { safe_wal_size, wal_status } = JSON.parse(slot) as {
    readonly wal_status?: string | null
    readonly safe_wal_size?: number | null
  }
  return {
    walStatus: wal_status ?? null,
    safeWalBytes: safe_wal_size ?? null,
    keepBytes: Number(keep) < 0 ? null : Number(keep) * 2 ** 20
  }
}

/**
 * Tells when WAL that Postgres keeps for the slot nears its bound, as long as it does. Never ends; while the database cannot be asked,
 * it waits for the next look.
 */
export const watchSlot = (admin: Queryable, slotName: string): Effect.Effect<never> => {
  const look = admin.query<Row>(sql, [slotName]).pipe(
    Effect.flatMap(([row]) => {
      const room = row === undefined ? undefined : roomOf(row)
      if (room === undefined) return Effect.void
      const message = slotTrouble(slotName, room)
      return message === undefined
        ? faultEnded("BATON-SLOT-BUDGET", {
            message: `The replication slot ${slotName} has room again for the WAL that it needs.`
          })
        : reportFault("BATON-SLOT-BUDGET", { message, everyMillis: slotAgainMillis })
    }),
    Effect.catch(({ message }) => Effect.logDebug(`The replication slot could not be looked at: ${message}`))
  )
  return Effect.forever(Effect.andThen(look, Effect.sleep(slotWatchMillis)))
}
