import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { Effect } from "effect"
import { loadCheckpoint } from "./checkpoint/CheckpointReader.ts"
import { JournalReader } from "./journal/JournalReader.ts"
import { readToEnd } from "./journal/ReadToEnd.ts"
import { isGateClosed } from "./levels/Gate.ts"
import { readLevelRecord } from "./levels/LevelFile.ts"
import { gatedLevel } from "./levels/Levels.ts"
import { RecentBytes } from "./journal/RecentBytes.ts"
import { firstOnDisk } from "./journal/FirstSegment.ts"
import { SegmentFiles } from "./segments/SegmentFiles.ts"
import type { SegmentProofs } from "./segments/SegmentProofs.ts"
import type { ShapeStore } from "./state/ShapeStore.ts"
import type { StoragePaths } from "./disk/StorageDir.ts"
import { pause, type Timers } from "../shared/Timers.ts"

/** With the pauses between them they take four seconds, or more than a minute. */
const attempts = 20
const attemptsWhereLate = 80
/** What has not led to the end of the journal so often in a row never will. */
const deadEndsOfAttempts = 0.75

/** Positions at the end of each segment, for the checkpoint that drops it. */
export type SegmentEnds = Map<
  number,
  Pick<ShapeStore, "lastCommitLsn" | "positionLsn" | "behindLsn"> & {
    readonly lateIds: ReadonlyArray<number>
  }
>

/** As the store has them now. */
export const noteEnd = (ends: SegmentEnds, segment: number, store: ShapeStore): void => {
  const { behindLsn, lastCommitLsn, positionLsn } = store
  ends.set(segment, { lastCommitLsn, positionLsn, behindLsn, lateIds: [...store.lateIds] })
}

/** What a storage directory holds, and the reader that has got to the end of its journal. */
export interface LoadedStorage {
  readonly store: ShapeStore
  readonly recent: RecentBytes
  readonly segments: SegmentFiles
  readonly segmentEnds: SegmentEnds
  readonly reader: JournalReader
  /** The first segment that was read. */
  readonly firstSegment: number
  readonly withoutCheckpoint: boolean
}

interface LoadOptions {
  readonly paths: StoragePaths
  readonly proofs: SegmentProofs
  readonly timers: Timers
  readonly recentBytes: number
  readonly chunkBytesThreshold: number
  readonly freshStore: () => ShapeStore
  /** See `JournalReader`. */
  readonly mayBePassed: (epoch: number, segment: number) => boolean
  readonly warn: (message: string, code: FaultCode) => void
  /** Told what reads the journal, at each attempt. */
  readonly onReader: (reader: JournalReader) => void
  /** With the log of the service. */
  readonly run: (line: Effect.Effect<void>) => void
}

/**
 * Loads the checkpoint and reads the journal to its end. Writes nothing. Of a segment that has an index that is enough for
 * now: its bytes are still to be proved. Begins again where files go away while they are read. Fails when storage cannot
 * be read, and leaves no file open then.
 */
export const loadStorage = async (options: LoadOptions): Promise<LoadedStorage> => {
  const { paths, timers } = options
  await paths.disk.prepare([paths.root, paths.meta])
  const most = paths.disk.mayBeLate ? attemptsWhereLate : attempts
  let deadEnds = 0
  for (let attempt = 0; ; attempt++) {
    const loaded = await begin(options, deadEnds >= most * deadEndsOfAttempts)
    let isWhole = false
    try {
      isWhole = (await readToEnd(loaded.reader)) !== "stale" || attempt >= most
      if (isWhole) {
        loaded.store.sleep()
        return loaded
      }
    } finally {
      if (!isWhole) {
        await loaded.reader.close()
        await loaded.segments.close()
      }
    }
    deadEnds = loaded.reader.isLost ? deadEnds + 1 : 0
    // Files went away while they were read: the active instance has moved on, and so has its checkpoint. Or another has
    // taken over meanwhile, and not all that was read counts: the same is read once more, up to where it does.
    await pause(timers, 20 * (attempt + 1))
  }
}

const begin = async (options: LoadOptions, isCutOff: boolean): Promise<LoadedStorage> => {
  const { paths, proofs, timers, warn } = options
  let store = options.freshStore()
  const said = await readLevelRecord(paths)
  if (said !== undefined) store.reachLevel(said.level, said.raisedBy ?? undefined)
  else if (await isGateClosed(paths)) store.reachLevel(gatedLevel)
  const recent = new RecentBytes(options.recentBytes)
  const segments = new SegmentFiles(paths, proofs)
  const segmentEnds: SegmentEnds = new Map()
  let head = await Effect.runPromise(loadCheckpoint(paths, store, options.chunkBytesThreshold, options.run))
  if (head !== undefined && isCutOff) {
    warn(
      `The journal does not lead from segment ${head.epoch}-${head.segment}, where the checkpoint stands, to its end: files of epochs in between are lost. It is read without the checkpoint.`,
      "BATON-STORAGE-DAMAGED"
    )
    const { level, nextId } = store
    store = options.freshStore()
    store.reachLevel(level)
    store.nextId = nextId
    head = undefined
  }
  const from =
    head === undefined ? await firstOnDisk(paths) : { epoch: head.epoch, segment: head.segment, position: 0 }
  const reader = new JournalReader({
    paths,
    store,
    recent,
    from,
    nowMillis: timers.nowMillis,
    mayBePassed: options.mayBePassed,
    onDamage: (message) => warn(message, "BATON-STORAGE-DAMAGED"),
    onSegment: (epoch, segment) => {
      noteEnd(segmentEnds, segment - 1, store)
      // Nobody reads them yet.
      store.sleep()
      segments.readingFrom(epoch, segment)
    },
    trust: {
      isRefuted: (sum) => proofs.isRefuted(sum),
      onTrusted: (sum) => segments.trust(sum)
    }
  })
  options.onReader(reader)
  return {
    store,
    recent,
    segments,
    segmentEnds,
    reader,
    firstSegment: from.segment,
    withoutCheckpoint: head === undefined
  }
}
