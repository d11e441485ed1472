import type { SlotFacts } from "./PostgresFacts.ts"
import type { LiveReport } from "../../telemetry/ProcessReport.ts"
import type { SlowReaderReport } from "../../telemetry/SlowReaders.ts"
import type { ActiveFaultReport } from "./FaultsReport.ts"
import type { InstanceReport } from "./InstancesReport.ts"
import type { Rates, Totals } from "./Rates.ts"

/** One process of the instance that was asked. */
export interface ProcessStatus extends LiveReport {
  readonly openRequests: number
  readonly followerLagBytes: number | null
}

interface ProgressStatus {
  readonly name: string
  readonly done: number
  /** Null where nobody knows; an estimate otherwise. */
  readonly total: number | null
  readonly unit: string
  readonly startedAt: string
}

interface TakeoverReport {
  readonly at: string
  readonly epoch: number
  readonly millis: number
  readonly steps: ReadonlyArray<{ readonly name: string; readonly millis: number }>
}

/** What an operator sees first: of one instance, and what it can see of the others. No secret, and nothing of a row. */
export interface StatusReport {
  readonly at: string
  readonly release: string
  readonly instanceId: string
  readonly uptimeSeconds: number
  readonly state: string
  /** What somebody has to mend before this instance can go on. */
  readonly failure: string | null
  readonly role: string
  readonly epoch: number
  readonly database: string
  /** Where the API of the service is, for this machine. */
  readonly apiPort: number | null
  readonly apiScheme: "http" | "https"
  readonly needsSecret: boolean
  readonly allowsDelete: boolean
  readonly instances: ReadonlyArray<InstanceReport>
  /** Null: the database was not asked (this instance sleeps or stops), or did not answer; see `databaseAnswers`. */
  readonly slot: (SlotFacts & { readonly verdict: SlotVerdict }) | null
  /** Null: it was not asked. */
  readonly databaseAnswers: boolean | null
  readonly shapes: number
  /** Those of them that nobody has read for so long that only a record of them is in memory. */
  readonly dormantShapes: number
  readonly totals: Totals
  readonly rates: Rates | null
  /** Shapes whose first rows are being read. */
  readonly loading: { readonly shapes: number; readonly oldestSeconds: number; readonly bytes: number }
  readonly heldRequests: number
  /** Long work under way. */
  readonly progress: ReadonlyArray<ProgressStatus>
  /** Faults that last. */
  readonly faults: ReadonlyArray<ActiveFaultReport>
  /** When something was last reported; `/baton/api/faults` has it all. Null: nothing was. */
  readonly lastFaultAt: string | null
  /** Clients that have taken nothing for a second and longer. */
  readonly slowReaders: ReadonlyArray<SlowReaderReport & { readonly process: string }>
  /** How this process has become active, the newest first. */
  readonly takeovers: ReadonlyArray<TakeoverReport>
  readonly workers: { readonly configured: number; readonly ready: number; readonly restarts: number }
  readonly processes: ReadonlyArray<ProcessStatus>
  readonly storage: {
    readonly place: string
    readonly journalBytes: number | null
    readonly level: number
    readonly unshippedBytes: number | null
  }
}

/** What the state of the slot comes to, in a word and a sentence. */
interface SlotVerdict {
  readonly state: "ok" | "growing" | "unreserved" | "lost" | "missing"
  readonly text: string
}

/** Half of what may be kept is when somebody should look why. */
const growingShare = 0.5

/** `undefined`: Postgres answers, and there is no such slot. */
export const slotVerdict = (slot: SlotFacts | undefined): SlotVerdict => {
  if (slot === undefined)
    return {
      state: "missing",
      text: "There is no such replication slot. The instance that becomes active makes one and compares all shapes with the database: they get what they lack, under their handles."
    }
  const { maxSlotWalKeepBytes, retainedWalBytes, walStatus } = slot
  if (walStatus === "lost")
    return {
      state: "lost",
      text: "Postgres has removed WAL that the slot needs. The active instance makes a new slot and compares all shapes with the database, which reads all of their tables; raise max_slot_wal_keep_size."
    }
  if (walStatus === "unreserved")
    return {
      state: "unreserved",
      text: "WAL that the slot needs goes at the next checkpoint unless it is confirmed before. See why the active instance does not keep up, and raise max_slot_wal_keep_size."
    }
  if (
    maxSlotWalKeepBytes !== null &&
    retainedWalBytes !== null &&
    retainedWalBytes > growingShare * maxSlotWalKeepBytes
  )
    return {
      state: "growing",
      text: "More than half of max_slot_wal_keep_size is kept for the slot. It heals by itself when the active instance catches up."
    }
  return { state: "ok", text: "Postgres keeps what the slot needs." }
}
