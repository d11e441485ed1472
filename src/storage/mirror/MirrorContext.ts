import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { Chain } from "../chain/Chain.ts"
import type { ChainObject, ChainPlace } from "../chain/ChainObject.ts"
import { placeAfter } from "../chain/PlaceAfter.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import { publishEpoch } from "../journal/Epochs.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { LocalJournal } from "./LocalJournal.ts"
import type { ObjectsSinceCheckpoint } from "./ObjectsSinceCheckpoint.ts"

/** What a directory that mirrors a bucket is made of. Writer and mirror of a process have the same one. */
export interface MirrorContext {
  readonly store: ObjectStore
  readonly chain: Chain
  readonly paths: StoragePaths
  readonly journal: LocalJournal
  readonly objects: ObjectsSinceCheckpoint
  readonly timers: Timers
  readonly warn: (message: string, code: FaultCode) => void
}

/** Applies the object that follows on the place of the chain, and takes note of it. */
export const applyObject = async (context: MirrorContext, object: ChainObject): Promise<void> => {
  const { chain, journal, objects } = context
  await journal.apply(object)
  let bytes = 0
  for (const range of object.ranges) bytes += range.bytes.length
  objects.note(placeAfter(chain.place, object), bytes)
}

/** Where the local journal goes on at a place of the chain. */
export const localEnd = ({ end, opening }: ChainPlace): JournalEnd =>
  opening === undefined || end.segment > 0
    ? end
    : { epoch: opening.epoch, segment: (opening.previous?.segment ?? 0) + 1, position: 0 }

/** The newest epoch can be seen in the local directory when this completes. */
export const placeOpening = async (paths: StoragePaths, { opening }: ChainPlace): Promise<void> => {
  if (opening === undefined) return
  const { url: _, ...record } = opening
  await publishEpoch(paths, record)
}

/** The chain is read from this place on, for a journal that begins with this segment. Nothing is read meanwhile. */
export const startAt = async (
  { chain, journal, objects, paths }: MirrorContext,
  place: ChainPlace,
  segment: number
): Promise<void> => {
  await journal.startAt(localEnd(place), segment)
  await placeOpening(paths, place)
  objects.startAt(place)
  chain.resume(place)
}
