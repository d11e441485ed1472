import { Effect } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { parseLsn } from "../../shared/Lsn.ts"
import type { StreamLook } from "./SilenceVerdict.ts"

interface Row {
  readonly seen: string
}

interface Seen {
  readonly recovery: boolean
  readonly read_only: boolean
  readonly slot: {
    readonly active_pid: number | null
    readonly wal_status?: string | null
    readonly invalidation_reason?: string | null
    readonly failover?: boolean
  } | null
  readonly sender: {
    readonly pid: number
    readonly sent: string | null
    readonly type: string | null
    readonly event: string | null
  } | null
  readonly decoded: string | null
  readonly absent: string | null
}

/** Rows as JSON because their columns differ between versions of Postgres. `synchronized_standby_slots` is known from 17 on. */
const sql = `
  SELECT pg_catalog.json_build_object(
    'recovery', pg_catalog.pg_is_in_recovery(),
    'read_only', pg_catalog.current_setting('transaction_read_only') = 'on',
    'slot', (SELECT pg_catalog.to_json(s) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1),
    'sender', (SELECT pg_catalog.json_build_object('pid', a.pid, 'sent', r.sent_lsn, 'type', a.wait_event_type, 'event', a.wait_event)
      FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = a.pid WHERE a.pid = $2),
    'decoded', (SELECT (d.total_bytes + d.spill_bytes)::pg_catalog.text FROM pg_catalog.pg_stat_replication_slots d WHERE d.slot_name = $1),
    'absent', (SELECT pg_catalog.string_agg(pg_catalog.btrim(n), ',')
      FROM pg_catalog.regexp_split_to_table(pg_catalog.current_setting('synchronized_standby_slots', true), ',') n
      WHERE pg_catalog.btrim(n) NOT IN ('', '*') AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_replication_slots p WHERE p.slot_name = pg_catalog.btrim(n, ' "') AND p.active))
  )::pg_catalog.text AS seen`

/** What can be seen from another connection of the backend that streams to us. */
export const lookAtStream = (
  admin: Queryable,
  slotName: string,
  backendPid: number
): Effect.Effect<StreamLook, PgError> =>
  Effect.map(admin.query<Row>(sql, [slotName, backendPid]), ([row]) =>
    streamLook(JSON.parse(row?.seen ?? "{}") as Seen)
  )

const streamLook = ({ absent, decoded, read_only, recovery, sender, slot }: Seen): StreamLook => ({
  isInRecovery: recovery,
  isReadOnly: read_only,
  slot:
    slot === null
      ? undefined
      : {
          activePid: slot.active_pid,
          walStatus: slot.wal_status ?? null,
          invalidationReason: slot.invalidation_reason ?? null,
          isFailover: slot.failover === true
        },
  sender:
    sender === null
      ? undefined
      : {
          pid: sender.pid,
          sentLsn: parseLsn(sender.sent ?? ""),
          waitEventType: sender.type,
          waitEvent: sender.event
        },
  decodedBytes: Number(decoded ?? 0),
  absentStandbySlots: (absent ?? "").split(",").filter((name) => name !== "")
})
