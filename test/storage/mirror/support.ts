import { cpSync } from "node:fs"
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import type { ObjectStore } from "../../../src/bucket/ObjectStore.ts"
import { Chain } from "../../../src/storage/chain/Chain.ts"
import type { ChainContent, JournalRange } from "../../../src/storage/chain/ChainObject.ts"
import { readWhole } from "../../../src/storage/disk/Files.ts"
import { RealDisk } from "../../../src/storage/disk/RealDisk.ts"
import { segmentFile, type StoragePaths } from "../../../src/storage/disk/StorageDir.ts"
import { readEpochs } from "../../../src/storage/journal/Epochs.ts"
import { LocalJournal } from "../../../src/storage/mirror/LocalJournal.ts"
import { localEnd, type MirrorContext } from "../../../src/storage/mirror/MirrorContext.ts"
import { takeMirrorDirectory } from "../../../src/storage/mirror/MirrorDirectory.ts"
import { ObjectsSinceCheckpoint } from "../../../src/storage/mirror/ObjectsSinceCheckpoint.ts"
import type { JournalEnd } from "../../../src/storage/records/Records.ts"
import { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { systemTimers, type Timers } from "../../../src/shared/Timers.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { filesUpTo } from "../../../src/storage/mirror/CheckpointFiles.ts"
import { uploadCheckpoint } from "../../../src/storage/mirror/CheckpointUpload.ts"
import { maintenanceOf, openEngine, temporaryDirectory, writeTransaction } from "../support.ts"

/** Puts what an engine has written into its directory into a chain, as its writer would. */
export class DirectoryShipper {
  readonly chain: Chain
  readonly objects: ObjectsSinceCheckpoint
  private readonly paths: StoragePaths
  private end: JournalEnd

  constructor(store: ObjectStore, paths: StoragePaths, mirror?: MirrorContext) {
    this.chain = mirror?.chain ?? new Chain({ store, timers: systemTimers })
    this.objects = mirror?.objects ?? new ObjectsSinceCheckpoint()
    this.paths = paths
    this.end = localEnd(this.chain.place)
  }

  /** What stands there now, in objects of so many bytes at most. */
  async ship(objectBytes = Infinity): Promise<void> {
    for (const { epoch, previous } of await readEpochs(this.paths, this.end.epoch)) {
      if (epoch <= this.end.epoch) continue
      if (previous !== null) await this.shipTo(previous, objectBytes)
      await this.append({
        epoch,
        ranges: [],
        opens: { epoch, previous, url: "http://writer" },
        isFence: true
      })
      this.end = { epoch, segment: (previous?.segment ?? 0) + 1, position: 0 }
    }
    await this.shipTo({ epoch: this.end.epoch, segment: Infinity, position: Infinity }, objectBytes)
  }

  async append(content: ChainContent): Promise<void> {
    if ((await this.chain.append(content, () => false)) !== "created") throw new Error("overtaken")
    let bytes = 0
    for (const range of content.ranges) bytes += range.bytes.length
    this.objects.note(this.chain.place, bytes)
  }

  /** What stands behind `from`, as the writer would show it. */
  async unshipped(from: JournalEnd): Promise<ReadonlyArray<JournalRange>> {
    const { epoch, position, segment } = from
    const ranges: Array<JournalRange> = []
    for (let next = segment; ; next++) {
      const content = await readWhole(this.paths.disk, segmentFile(this.paths, epoch, next))
      if (content === undefined) return ranges
      const at = next === segment ? position : 0
      if (content.length > at)
        ranges.push({ epoch, segment: next, position: at, bytes: content.subarray(at) })
    }
  }

  private async shipTo(last: JournalEnd, objectBytes: number): Promise<void> {
    let ranges: Array<JournalRange> = []
    let gathered = 0
    const send = async () => {
      if (ranges.length > 0) await this.append({ epoch: this.end.epoch, ranges })
      ranges = []
      gathered = 0
    }
    for (;;) {
      const { epoch, position, segment } = this.end
      const content = await readWhole(this.paths.disk, segmentFile(this.paths, epoch, segment))
      if (content === undefined) break
      const limit = segment === last.segment ? last.position : Infinity
      for (let at = position; at < Math.min(content.length, limit);) {
        const bytes = content.subarray(at, Math.min(at + objectBytes - gathered, content.length, limit))
        ranges.push({ epoch, segment, position: at, bytes })
        at += bytes.length
        gathered += bytes.length
        this.end = { epoch, segment, position: at }
        if (gathered >= objectBytes) await send()
      }
      const next = await this.paths.disk.stat(segmentFile(this.paths, epoch, segment + 1))
      if (segment === last.segment || next === undefined) break
      this.end = { epoch, segment: segment + 1, position: 0 }
    }
    await send()
  }
}

export const scopeOfTest = (): Scope.Scope => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return scope
}

/** What a mirror works with, below a directory that is this test's; files of it are closed at its end. */
export const contextAt = async (
  store: ObjectStore,
  options: {
    readonly directory?: string
    readonly timers?: Timers
    readonly said?: Array<string>
    readonly scope?: Scope.Scope
  } = {}
): Promise<MirrorContext> => {
  const storageDir = options.directory ?? temporaryDirectory()
  const timers = options.timers ?? systemTimers
  const taking = takeMirrorDirectory({
    storageDir,
    streamId: "default",
    metaDir: undefined,
    disk: new RealDisk(),
    removeOnClose: false
  })
  const paths = await Effect.runPromise(Scope.provide(taking, options.scope ?? scopeOfTest()))
  const journal = new LocalJournal(paths)
  onTestFinished(() => journal.close())
  return {
    store,
    chain: new Chain({ store, timers }),
    paths,
    journal,
    objects: new ObjectsSinceCheckpoint(),
    timers,
    warn: (message) => void options.said?.push(message)
  }
}

/** An engine on the directory of a mirror, closed when the test ends. */
export const engineOn = (paths: StoragePaths, timers: Timers = systemTimers): StorageEngine => {
  const engine = new StorageEngine({
    paths,
    chunkBytesThreshold: 1500,
    segmentBytes: 1000,
    recentBytes: 1 << 20,
    durableWrites: false,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect),
    timers
  })
  onTestFinished(() => engine.close())
  return engine
}

/** The files of shapes come in another way. */
export const copyShapes = (from: StoragePaths, to: StoragePaths): void =>
  cpSync(from.shapes, to.shapes, { recursive: true })

/** Small segments, so that a few transactions fill one. */
const settings = { segmentBytes: 1000, chunkBytesThreshold: 1500 }

/** An instance that writes into a directory of its own, and what it has written into a bucket. */
export const begin = async (store: MemoryStore = new MemoryStore()) => {
  const engine = await openEngine(undefined, settings)
  await engine.takeOver()
  const shipper = new DirectoryShipper(store, engine.paths)
  return { store, engine, shipper }
}

export const write = async (engine: StorageEngine, ids: ReadonlyArray<number>, from: number, to: number) => {
  for (let t = from; t <= to; t++)
    writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids, padding: 100 }], 100 + t)
  await engine.writer?.durable()
}

export const numbered = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => `${(from + i) * 100}_0!`)

/** Moves segments to log files, writes a checkpoint, and uploads what there is by then. */
export const checkpoint = async (
  store: MemoryStore,
  engine: StorageEngine,
  shipper: DirectoryShipper,
  scope: Scope.Scope,
  /** Sees to it that files are where others look for them: before these are told that entries have been moved there. */
  copyFiles: () => void = () => {}
): Promise<string> => {
  // Nothing is moved that does not count yet.
  await shipper.ship(300)
  const maintenance = maintenanceOf(engine)
  await Effect.runPromise(Scope.provide(maintenance.round(), scope))
  await engine.writer?.durable()
  copyFiles()
  await shipper.ship(300)
  return uploaded(store, engine, shipper)
}

/** What stands in the directory of an engine, as far as it is in the chain, without a new local checkpoint. */
export const uploaded = async (
  store: MemoryStore,
  engine: StorageEngine,
  { chain }: DirectoryShipper
): Promise<string> => {
  const files = await filesUpTo(engine.paths, chain.place)
  if (files === undefined) throw new Error("there is nothing yet")
  return uploadCheckpoint(store, engine.paths, chain.place, files)
}
