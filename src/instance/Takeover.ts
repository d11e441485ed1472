import type { StreamSource } from "../storage/records/StoredSource.ts"

/** What a new holder of the lock finds. */
export interface TakeoverFacts {
  /** Where storage's changes come from; `undefined` in new storage. */
  readonly storedSource: StreamSource | undefined
  readonly source: StreamSource
  readonly shapes: number
  readonly slotCreated: boolean
  /** Postgres may have forgotten everything before this. */
  readonly confirmedFlushLsn: bigint
  /** Storage holds everything up to this. */
  readonly storedLsn: bigint
  /** Where the WAL of the database ends. */
  readonly walLsn: bigint
  /** Up to here its WAL has been read. */
  readonly positionLsn: bigint
  /**
   * Of a later timeline than the one that storage's changes come from: up to here its history is the same. Undefined where that is not
   * known.
   */
  readonly sharedUpToLsn: bigint | undefined
  /**
   * Nobody has received, or been told of, more than this of the timeline that storage's changes come from. Undefined where others have
   * streamed from it, who may have shown what storage does not have.
   */
  readonly receivedLsn: bigint | undefined
}

/** Both are of one cluster, before or after a promotion or recovery: its tables have the same OIDs. */
export const isSameCluster = (a: StreamSource, b: StreamSource): boolean => a.systemId === b.systemId

/**
 * The source of what is stored while shapes are being compared with the database: no slot has this name, so whoever takes over
 * meanwhile, of whatever release, does not go on from there. `isOther`: the database is of another cluster than what is stored.
 */
export const unfinishedSlot = (slot: string, isOther = false): string =>
  `${slot}${isOther ? unfinishedOther : unfinished}`

const unfinished = " (being compared)"
const unfinishedOther = " (being compared with another cluster)"

/** A comparison was begun, and not finished; slots may have names of their own with each connection. */
export const isUnfinished = (source: StreamSource): boolean =>
  source.slot.endsWith(unfinished) || isOfOther(source)

/** The same, where the tables of shapes may be those of another cluster by now. */
export const isOfOther = ({ slot }: StreamSource): boolean => slot.endsWith(unfinishedOther)

/** The database has less WAL than has been read from it, so its history since is another one. */
export const hasGoneBack = ({ positionLsn, storedSource, walLsn }: TakeoverFacts): boolean =>
  storedSource !== undefined && walLsn < positionLsn

/**
 * Why the shapes in storage cannot go on, `undefined` when they can: then the slot gives every change that storage
 * does not have yet.
 */
export const reasonToPurge = (facts: TakeoverFacts): string | undefined => {
  const { storedSource: stored, source } = facts
  if (facts.shapes === 0) return undefined
  if (stored === undefined) return "storage does not say which database its shapes came from"
  if (stored.systemId !== source.systemId) return "they came from another database cluster"
  if (isUnfinished(stored)) return "a comparison of them with the database was cut off"
  if (stored.timeline !== source.timeline && !isContinued(facts)) {
    return "the database was restored or failed over: its history may not contain what the shapes were made of"
  }
  if (facts.slotCreated)
    return "the replication slot is new: changes between the old slot and this one are not known"
  if (stored.slot !== source.slot) return "they were fed by another replication slot"
  if (hasGoneBack(facts)) {
    return "the database was restored or failed over: its write-ahead log ends before what has been read from it"
  }
  if (facts.confirmedFlushLsn > facts.storedLsn) {
    return "storage is older than the replication slot: Postgres was told that later changes are safe, and has let go of them"
  }
  return undefined
}

/**
 * A later timeline has all that anybody has seen of the one before: it left that behind everything that was received. Then a slot that
 * was kept through the failover goes on as if nothing had happened, provided that it is not ahead, as ever.
 */
const isContinued = ({ positionLsn, receivedLsn, sharedUpToLsn }: TakeoverFacts): boolean =>
  sharedUpToLsn !== undefined &&
  receivedLsn !== undefined &&
  positionLsn <= sharedUpToLsn &&
  receivedLsn <= sharedUpToLsn
