import type { PgErrorKind } from "../../postgres/errors/PgError.ts"
import { formatLsn, lsnNumber, type ServerLsn, zeroServerLsn } from "../../shared/Lsn.ts"
import { explainSilence, type SilenceCause } from "./SilenceTexts.ts"

/** What Postgres says of the way from its WAL to us. */
export interface StreamLook {
  readonly isInRecovery: boolean
  readonly isReadOnly: boolean
  /** Undefined: there is no such slot. */
  readonly slot: LookedAtSlot | undefined
  /** Undefined: the backend of our connection is gone. */
  readonly sender: LookedAtSender | undefined
  /** Counts what is decoded for the slot; the same twice: nothing was, as far as Postgres counts it. */
  readonly decodedBytes: number
  /** Of `synchronized_standby_slots`: those that are missing or that nobody reads from. */
  readonly absentStandbySlots: ReadonlyArray<string>
}

interface LookedAtSlot {
  readonly activePid: number | null
  readonly walStatus: string | null
  readonly invalidationReason: string | null
  readonly isFailover: boolean
}

interface LookedAtSender {
  readonly pid: number
  readonly sentLsn: ServerLsn | undefined
  /** What it says that it waits for; null while it works. */
  readonly waitEventType: string | null
  readonly waitEvent: string | null
}

/** What is known of a heartbeat that is late. */
export interface SilenceFacts {
  readonly slotName: string
  /** Since the last one was sent that has come through. */
  readonly unprovenMillis: number
  /** Where the one that is out stands; undefined where it could not be written. */
  readonly heartbeatLsn: ServerLsn | undefined
  /** Why it could not be. */
  readonly refused: { readonly kind: PgErrorKind; readonly message: string } | undefined
  readonly look: StreamLook | { readonly kind: PgErrorKind; readonly message: string }
  /** The look before, during the same silence. */
  readonly before: StreamLook | undefined
  /** How long what was received has been waiting for us. */
  readonly heldMillis: number
  /** The disk or the bucket refuses what is written to the journal. */
  readonly isWriteFailing: boolean
  /** The connection has brought nothing since Postgres was asked for an answer on it, some time ago. */
  readonly isDeaf: boolean
  /** Bytes that the connection has brought since the look before. */
  readonly receivedBytes: number
}

export type SilenceVerdict =
  | { readonly state: "silent" | "behind"; readonly cause: SilenceCause; readonly message: string }
  /** Nothing is known to be wrong: no heartbeat can be sent. */
  | { readonly state: "unwatched"; readonly cause: SilenceCause; readonly message: string }

/** What we take so long for is no back-pressure any more. */
const heldTooLongMillis = 30_000
/** A walsender that works and shows nothing for so long is looked after by somebody. */
const workedTooLongMillis = 300_000

/** The role may not send a heartbeat: there is nothing to look for. */
export const isForbidden = ({ kind }: { readonly kind: PgErrorKind }): boolean =>
  kind === "permission_denied" || kind === "undefined_object"

const isFailed = (look: SilenceFacts["look"]): look is Exclude<SilenceFacts["look"], StreamLook> =>
  "kind" in look

/** Why what is written to the database does not come through, and whether that is an alarm. Total: some cause is always named. */
export const silenceVerdict = (facts: SilenceFacts): SilenceVerdict => {
  const [state, cause, detail] = judge(facts)
  return { state, cause, message: explainSilence(cause, { ...facts, detail }) }
}

type Judged = readonly [state: SilenceVerdict["state"], cause: SilenceCause, detail: string]

const judge = (facts: SilenceFacts): Judged => {
  const { heldMillis, isWriteFailing, look, refused } = facts
  if (refused !== undefined && isForbidden(refused)) return ["unwatched", "mayNotSend", refused.message]
  if (heldMillis > 0 && isWriteFailing) return ["silent", "storage", ""]
  if (refused?.kind === "disk_full") return ["silent", "databaseDiskFull", refused.message]
  if (isFailed(look))
    return look.kind === "disk_full"
      ? ["silent", "databaseDiskFull", look.message]
      : ["silent", "databaseSilent", look.message]
  if (look.isInRecovery) return ["silent", "standby", ""]
  return ofSlot(facts, look) ?? ofRefusal(facts, look) ?? ofSender(facts, look)
}

const ofSlot = ({ slotName }: SilenceFacts, { sender, slot }: StreamLook): Judged | undefined => {
  if (slot === undefined) return ["silent", "slotMissing", ""]
  if (slot.walStatus === "lost" || slot.invalidationReason !== null)
    return ["silent", "slotInvalidated", slot.invalidationReason ?? "its WAL is gone"]
  if (slot.activePid === null) return ["silent", "slotInactive", slotName]
  return slot.activePid === sender?.pid ? undefined : ["silent", "slotTaken", String(slot.activePid)]
}

/** The heartbeat could not be written, and nothing else is known to be wrong. */
const ofRefusal = ({ refused }: SilenceFacts, look: StreamLook): Judged | undefined => {
  if (refused === undefined) return undefined
  return look.isReadOnly || refused.kind === "read_only"
    ? ["silent", "databaseReadOnly", refused.message]
    : ["silent", "notWritten", refused.message]
}

const ofSender = (facts: SilenceFacts, look: StreamLook): Judged => {
  const { before, heartbeatLsn, heldMillis, isDeaf, receivedBytes, unprovenMillis } = facts
  const { absentStandbySlots, sender, slot } = look
  if (heldMillis > heldTooLongMillis) return ["silent", "held", ""]
  if (heldMillis > 0) return ["behind", "held", ""]
  const waitsForStandby =
    sender?.waitEvent === "WaitForStandbyConfirmation" ||
    (slot?.isFailover === true && absentStandbySlots.length > 0 && !moves(before, look))
  if (waitsForStandby)
    return ["silent", "standbySlots", absentStandbySlots.join(", ") || "a standby that is behind"]
  if (receivedBytes > 0 || moves(before, look)) return ["behind", "busy", progress(look)]
  const isSent = heartbeatLsn !== undefined && sentBy(look) >= lsnNumber(heartbeatLsn)
  if (isSent) return ["silent", "notArriving", ""]
  const works = sender?.waitEventType === null || sender?.waitEventType === "IO"
  if (works && unprovenMillis < workedTooLongMillis) return ["behind", "busy", progress(look)]
  if (isDeaf) return ["silent", "walsenderStopped", sender?.waitEvent ?? "nothing that it would say"]
  return ["silent", "unknown", sender?.waitEvent ?? "nothing that it would say"]
}

const sentBy = ({ sender }: StreamLook): bigint => lsnNumber(sender?.sentLsn ?? zeroServerLsn)

const moves = (before: StreamLook | undefined, now: StreamLook): boolean =>
  before !== undefined && (sentBy(before) < sentBy(now) || before.decodedBytes < now.decodedBytes)

const progress = ({ sender }: StreamLook): string =>
  sender?.sentLsn === undefined ? "" : ` It has got to ${formatLsn(sender.sentLsn)}.`
