import { Effect } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { StandbyFacts } from "./Facts.ts"

/**
 * Settings that the role may not see are null. Rows as JSON because their columns differ between versions of Postgres. The slot of a
 * standby that gives no feedback holds nothing back (`xmin`).
 */
const sql = `SELECT json_build_object(
    'isStandby', pg_is_in_recovery(),
    'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN ('sync_replication_slots', 'hot_standby_feedback',
      'primary_slot_name', 'primary_conninfo', 'synchronized_standby_slots')),
    'slot', (SELECT to_json(s) FROM pg_replication_slots s WHERE slot_name = $1),
    'receives', (SELECT bool_or(status = 'streaming') FROM pg_stat_wal_receiver),
    'standbys', (SELECT coalesce(json_agg(json_build_object('name', r.application_name, 'state', r.state, 'slot', s.slot_name,
        'hasFeedback', s.xmin IS NOT NULL OR r.backend_xmin IS NOT NULL) ORDER BY r.pid), '[]')
      FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
      WHERE coalesce(s.slot_type, 'physical') = 'physical' AND r.application_name NOT LIKE 'baton%'),
    'activeSlots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE slot_type = 'physical' AND active)
  )::text AS seen`

interface Seen extends Pick<StandbyFacts, "isStandby" | "standbys" | "activeSlots"> {
  readonly settings: Readonly<Record<string, string | null>>
  readonly slot: {
    readonly synced?: boolean
    readonly temporary: boolean
    readonly invalidation_reason?: string | null
  } | null
  readonly receives: boolean | null
}

/** What can be seen here of how a failover would go. */
export const lookAtStandbys = (admin: Queryable, slotName: string): Effect.Effect<StandbyFacts, PgError> =>
  Effect.map(admin.query<{ readonly seen: string }>(sql, [slotName]), ([row]) => {
    const { activeSlots, isStandby, receives, settings, slot, standbys } = JSON.parse(
      row?.seen ?? "{}"
    ) as Seen
    const list = settings["synchronized_standby_slots"] ?? ""
    return {
      isStandby,
      standbys,
      activeSlots,
      awaitedSlots: list
        .split(",")
        .map((name) => name.trim().replaceAll('"', ""))
        .filter((name) => name !== ""),
      isReceiving: receives === true,
      copiesSlots: settings["sync_replication_slots"] === "on",
      givesFeedback: settings["hot_standby_feedback"] === "on",
      slotAtPrimary: settings["primary_slot_name"] ?? "",
      conninfo: settings["primary_conninfo"] ?? null,
      copied:
        slot === null
          ? undefined
          : {
              isSynced: slot.synced === true,
              isTemporary: slot.temporary,
              invalidationReason: slot.invalidation_reason ?? null
            }
    }
  })
