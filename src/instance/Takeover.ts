import type { StreamSource } from "../storage/state/ShapeStore.ts"

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
}

/** Both are of one cluster, before or after a promotion or recovery: its tables have the same OIDs. */
export const isSameCluster = (a: StreamSource, b: StreamSource): boolean => a.systemId === b.systemId

/**
 * The source of what is stored while shapes are being compared with the database: no slot has this name, so whoever takes over
 * meanwhile, of whatever release, does not go on from there.
 */
export const unfinishedSlot = (slot: string): string => `${slot}${unfinished}`

const unfinished = " (being compared)"

/** A comparison was begun, and not finished; slots may have names of their own with each connection. */
export const isUnfinished = ({ slot }: StreamSource): boolean => slot.endsWith(unfinished)

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
  if (stored.timeline !== source.timeline) {
    return "the database was restored or failed over: its history may not contain what the shapes were made of"
  }
  if (facts.slotCreated)
    return "the replication slot is new: changes between the old slot and this one are not known"
  if (stored.slot !== source.slot) return "they were fed by another replication slot"
  if (facts.confirmedFlushLsn > facts.storedLsn) {
    return "storage is older than the replication slot: Postgres was told that later changes are safe, and has let go of them"
  }
  return undefined
}
