import type { FaultsReport } from "../../operator/reports/FaultsReport.ts"
import type { SlotFacts } from "../../operator/reports/PostgresFacts.ts"
import type { PublicationState, TableState } from "../../postgres/publication/PublicationState.ts"
import type { ServerInfo } from "../../postgres/ServerInfo.ts"
import type { SlotInfo } from "../../replication/connection/Slot.ts"
import type { Seen } from "./Seen.ts"

/** What the configuration says, as far as findings depend on it. */
export interface Wanted {
  readonly slotName: string
  readonly publicationName: string
  readonly temporarySlot: boolean
  /** `BATON_FAILOVER_SLOT`. */
  readonly failoverSlot: boolean
  /** `ELECTRIC_MANUAL_TABLE_PUBLISHING`. */
  readonly manual: boolean
  /** It never becomes active: it needs neither lock nor slot. */
  readonly isReplica: boolean
  /** Connections of pools. */
  readonly poolSize: number
  readonly storage: "memory" | "file" | "bucket"
  readonly storageDir: string
  /** `BATON_MAX_STORAGE`, if there is a limit. */
  readonly maxStorageBytes: number | undefined
}

export interface ServerFacts extends ServerInfo {
  /** `default_transaction_read_only`, for this role in this database. */
  readonly isReadOnly: boolean
  readonly encoding: string
  /** By how much the clock of the database is ahead of that of this machine. */
  readonly clockAheadMillis: number
  readonly maxSlots: number
  readonly usedSlots: number
  readonly maxSenders: number
  readonly usedSenders: number
  /** Without those that are reserved for superusers. */
  readonly maxConnections: number
  readonly usedConnections: number
}

export interface RoleFacts {
  readonly isSuperuser: boolean
  readonly mayReplicate: boolean
  /** On this database, for the publication. */
  readonly mayCreate: boolean
  /** -1: no limit. */
  readonly connectionLimit: number
  /** Functions of Postgres that the service calls and the role may not, with their parameters. */
  readonly deniedFunctions: ReadonlyArray<string>
  /** Catalogues of Postgres that the service reads and the role may not. */
  readonly deniedCatalogues: ReadonlyArray<string>
}

/** What the role may do with one table. */
export interface TableRights {
  readonly schema: string
  readonly name: string
  readonly mayRead: boolean
  readonly mayUseSchema: boolean
  /** Its owner, or a member of its owner. */
  readonly isOwner: boolean
  /** Policies would hide rows from this role. */
  readonly isFiltered: boolean
}

export interface TablesFacts {
  /** The role that reads rows: that of the pooled URL. */
  readonly reader: string
  readonly rights: ReadonlyArray<TableRights & { readonly oid: number }>
  /** As the publication has them; none where there is no publication. */
  readonly states: ReadonlyArray<TableState>
  /** There are more than were looked at. */
  readonly areMore: boolean
}

export interface OpenTransaction {
  readonly pid: number
  readonly role: string
  readonly ageSeconds: number
}

export interface SlotLook {
  /** Undefined: there is no such slot. */
  readonly info: SlotInfo | undefined
  readonly figures: SlotFacts | undefined
  /** Those that have written something: a new slot waits for them. */
  readonly openTransactions: ReadonlyArray<OpenTransaction>
}

/** A session that holds the lock, or waits for it. */
export interface LockSession {
  readonly pid: number
  readonly isHeld: boolean
  readonly role: string | null
  readonly applicationName: string | null
  readonly address: string | null
  readonly since: string | null
  readonly isWalsender: boolean | null
  /** Null where this role may not see it. */
  readonly state: string | null
  /** Since it last did something. */
  readonly silentSeconds: number | null
  /** As it has said itself in storage. */
  readonly instanceId?: string
}

/** What a server shows of how a failover would go: of its standbys, or, where it is one, of itself. */
export interface StandbyFacts {
  readonly isStandby: boolean
  /** Those that follow this server, each with its physical slot, if it has one. */
  readonly standbys: ReadonlyArray<{
    readonly name: string
    readonly state: string
    readonly slot: string | null
    readonly hasFeedback: boolean
  }>
  /** Physical slots that somebody streams from. */
  readonly activeSlots: ReadonlyArray<string>
  /** `synchronized_standby_slots`. */
  readonly awaitedSlots: ReadonlyArray<string>
  // Of a standby.
  readonly isReceiving: boolean
  /** `sync_replication_slots`. */
  readonly copiesSlots: boolean
  /** `hot_standby_feedback`. */
  readonly givesFeedback: boolean
  /** `primary_slot_name`. */
  readonly slotAtPrimary: string
  /** `primary_conninfo`; null where the role may not see it. */
  readonly conninfo: string | null
  /** The slot of the service; undefined where there is none. */
  readonly copied:
    | {
        readonly isSynced: boolean
        readonly isTemporary: boolean
        readonly invalidationReason: string | null
      }
    | undefined
}

/** What only somebody who is let in can see. */
export interface DatabaseLook {
  readonly server: Seen<ServerFacts>
  readonly role: Seen<RoleFacts>
  /** Undefined: there is none. */
  readonly publication: Seen<PublicationState | undefined>
  readonly tables: Seen<TablesFacts>
  readonly slot: Seen<SlotLook>
  readonly lock: Seen<ReadonlyArray<LockSession>>
  readonly standbys: Seen<StandbyFacts>
}

export interface StorageLook {
  /** What this user cannot do there, in words; undefined: nothing. */
  readonly problem: { readonly message: string; readonly isPath: boolean } | undefined
  readonly exists: boolean
  /** It holds shapes. */
  readonly wasUsed: boolean
  /** `f_type` of statfs(2). */
  readonly fileSystem: number
  readonly isLocal: boolean
  readonly freeBytes: number
  /** Of the whole file system. */
  readonly diskBytes: number
  readonly level: number | undefined
  readonly newestKnownLevel: number
  readonly raisedBy: string | null
}

export interface BucketLook {
  /** It was written to; otherwise it was only read. */
  readonly isTried: boolean
  readonly wasUsed: boolean
}

/** Who has the port that the service is to listen on. */
export type PortLook =
  | { readonly _tag: "Free" }
  | { readonly _tag: "Refused"; readonly message: string }
  /** `answers`: what `/v1/health` says, where it is a service of this kind. */
  | { readonly _tag: "Taken"; readonly answers: string | undefined }

export interface ServiceLook {
  readonly url: string
  readonly faults: FaultsReport
}

/** All that is found out before anything is judged. */
export interface DoctorFacts {
  readonly wanted: Wanted
  readonly configWarnings: ReadonlyArray<string>
  /** Instances that share a bucket cannot be told where this one is. */
  readonly hasNoAddress: boolean
  readonly openFilesProblem: string | undefined
  readonly port: Seen<PortLook>
  readonly connections: {
    readonly main: Seen<{ readonly millis: number }>
    /** Undefined: it is the same as the main one. */
    readonly pooled: Seen<unknown> | undefined
    readonly replication: Seen<unknown> | undefined
  }
  /** Undefined where nobody is let in. */
  readonly database: DatabaseLook | undefined
  /** Undefined: it is kept in memory. */
  readonly storage: Seen<StorageLook> | undefined
  /** Undefined: there is none. */
  readonly bucket: Seen<BucketLook> | undefined
  /** Undefined: no instance runs on this machine, or it cannot be asked. */
  readonly service: ServiceLook | undefined
  /** When it was looked, in milliseconds since 1970. */
  readonly nowMillis: number
}
