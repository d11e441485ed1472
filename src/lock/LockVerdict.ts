import { applicationName } from "../replication/connection/HolderProtocol.ts"

/** A backend that holds the lock, as `pg_stat_activity` shows it. Times are texts: only compared for equality. */
export interface Holder {
  readonly pid: number
  /** Together with the pid it names one session for ever. */
  readonly backendStart: string
  readonly applicationName: string
  readonly isWalsender: boolean
  /** `idle`, `active`, ...; null when this role may not see it. */
  readonly state: string | null
  readonly stateChange: string | null
  /** The statement that runs or ran last. */
  readonly query: string | null
}

/** One look at the database. */
export interface Evidence {
  /** Is somebody streaming from the slot? Undefined: there is no such slot. */
  readonly slotActive: boolean | undefined
  readonly holder: Holder | undefined
}

/** What earlier looks have shown: the same session in the same silence. */
export interface Silence {
  readonly pid: number
  readonly backendStart: string
  readonly stateChange: string
  /** Looks in a row, the first one not counted, that found it unchanged. */
  readonly ticks: number
}

/** For how many looks without a sign of life a holder is left alone, by the kind of holder; at least 1. */
export interface Patience {
  readonly baton: number
  readonly stuck: number
  readonly foreign: number
}

export type Verdict =
  | { readonly _tag: "Leave"; readonly why: LeaveReason }
  | { readonly _tag: "Terminate"; readonly holder: Holder }

type LeaveReason =
  "nobodyHoldsIt" | "noSlot" | "streaming" | "invisible" | "busy" | "showsLife" | "silentForTooShort"

/**
 * What to do about the backend that holds the lock, from this look and the ones before.
 *
 * **A healthy holder is never terminated.** A healthy instance of Baton is in one of these states whenever it holds the
 * lock, and none of them leads to `Terminate`:
 *
 * - it streams: the slot is active (`streaming`);
 * - a statement of it runs (creating the slot, waiting for open transactions, START_REPLICATION): its backend is not
 *   idle (`busy`). If the process behind it is dead, Postgres ends the backend itself
 *   (`client_connection_check_interval`);
 * - its connection is idle between two statements, for whatever it is doing elsewhere (reading storage, restoring shapes,
 *   filling a pool): then it runs a statement at least every two seconds (`heartbeatMillis` in
 *   `replication/ReplicationTimings.ts`), each of which changes `state_change`, so two looks never agree (`showsLife`). However slow
 *   it is, it is safe as long as its event loop turns once within `patience.baton` looks, a minute by default and never
 *   less than the `wal_sender_timeout` after which Postgres itself would call it dead.
 *
 * The statement that terminates names pid, backend start and `state_change` of the last look, and is carried out only if
 * all three still hold, so a sign of life between look and action, or a reused pid, saves the session.
 *
 * Holders that do not speak this protocol: a session that has done nothing at all since it took the lock (its last
 * statement is the lock itself), or that is no walsender and so can never stream, is *stuck* and gets `patience.stuck`.
 * Any other walsender may be a different service in the middle of its start, silent for reasons that cannot be known; it
 * gets `patience.foreign`, five minutes by default. What this role may not see is left alone.
 */
export const judge = (
  evidence: Evidence,
  before: Silence | undefined,
  patience: Patience
): { readonly verdict: Verdict; readonly silence: Silence | undefined } => {
  const { holder, slotActive } = evidence
  if (holder === undefined) return leave("nobodyHoldsIt")
  if (slotActive === undefined) return leave("noSlot")
  if (slotActive) return leave("streaming")
  if (holder.state === null || holder.state === "disabled" || holder.stateChange === null) {
    return leave("invisible")
  }
  if (!holder.state.startsWith("idle")) return leave("busy")
  const same =
    before !== undefined &&
    before.pid === holder.pid &&
    before.backendStart === holder.backendStart &&
    before.stateChange === holder.stateChange
  const silence: Silence = {
    pid: holder.pid,
    backendStart: holder.backendStart,
    stateChange: holder.stateChange,
    ticks: same ? before.ticks + 1 : 0
  }
  if (!same) return { verdict: { _tag: "Leave", why: "showsLife" }, silence }
  if (silence.ticks < Math.max(1, patience[kindOf(holder)])) {
    return { verdict: { _tag: "Leave", why: "silentForTooShort" }, silence }
  }
  return { verdict: { _tag: "Terminate", holder }, silence }
}

const kindOf = (holder: Holder): keyof Patience => {
  if (!holder.isWalsender) return "stuck"
  if (holder.applicationName === applicationName) return "baton"
  return holder.query !== null && /pg_(try_)?advisory_lock/.test(holder.query) ? "stuck" : "foreign"
}

const leave = (why: LeaveReason) => ({ verdict: { _tag: "Leave", why } as const, silence: undefined })
