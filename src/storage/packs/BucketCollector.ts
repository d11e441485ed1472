import type { ObjectInfo, ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"
import { type ChainPlace, walKey, walNumber } from "../chain/ChainObject.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import { isSuperseded } from "../records/Compaction.ts"
import { packEpoch } from "./Extents.ts"
import { graceMillis, isGarbage, type Knowledge, sparsePacks } from "./Garbage.ts"

/** Without a new checkpoint it is looked so often, if anything has happened meanwhile. */
const collectMillis = 3_600_000
/** Removed at a time, after it was made sure that this instance is still the writer. */
const batchKeys = 1000
/** One of the last so many objects of the chain tells the time by the clock of the store. */
const clockObjects = 64

/** The chain, as its writer has it. */
export interface WrittenChain {
  readonly place: Pick<ChainPlace, "next" | "fences">
  /** Whether somebody else has created what this writer would create next: the bucket is asked. */
  readonly isTaken: () => Promise<boolean>
}

interface CollectorOptions {
  readonly store: ObjectStore
  readonly timers: Pick<Timers, "nowMillis">
  readonly epoch: number
  readonly shapes: () => Pick<ShapeStore, "all" | "byHandle">
  readonly chain: WrittenChain
  /** Packs that the journal is to speak of later. */
  readonly inTheMaking: () => Iterable<string>
  /** Everything that was written so far counts. */
  readonly settled: () => Promise<boolean>
}

/** Removes from a bucket what nobody needs any more: see `Garbage.ts`. For the writer, of one epoch. One round at a time. */
export class BucketCollector {
  private readonly options: CollectorOptions
  /** When shapes were dropped, by their handle. */
  private readonly dropped = new Map<string, number>()
  /** Since when nothing of a pack has been needed. */
  private unused = new Map<string, number>()
  private isHurried = false
  private last: { readonly atMillis: number; readonly next: number }
  private chosen: ReadonlySet<string> = new Set()

  constructor(options: CollectorOptions) {
    this.options = options
    this.last = { atMillis: options.timers.nowMillis(), next: -1 }
  }

  /** Of these packs little is needed: the next move puts it elsewhere. */
  get sparse(): ReadonlySet<string> {
    return this.chosen
  }

  /** A shape is gone. */
  noteDropped(handle: string): void {
    this.dropped.set(handle, this.options.timers.nowMillis())
  }

  /** A move has put what was needed of sparse packs elsewhere. */
  repacked(): void {
    this.chosen = new Set()
  }

  /** A checkpoint was put into the bucket: what it makes superfluous goes with the next round. */
  hurry(): void {
    this.isHurried = true
  }

  /** To be called from time to time; does nothing most of the time. Fails with a `BucketFault`, and goes on with the next call. */
  async round(): Promise<void> {
    const { chain, timers } = this.options
    const { next } = chain.place
    const isDue = timers.nowMillis() - this.last.atMillis >= collectMillis && next !== this.last.next
    if (!isDue && !this.isHurried) return
    this.last = { atMillis: timers.nowMillis(), next }
    this.isHurried = false
    await this.collect()
  }

  private async collect(): Promise<void> {
    const { store } = this.options
    const needed = this.neededBytes()
    const packs: Array<ObjectInfo> = []
    for await (const object of store.list("packs/")) packs.push(object)
    this.notePacks(packs, needed)
    const known = await this.knowledge(needed)
    const { chainFrom } = known
    await this.removeAmong(packs, known)
    await this.removeAmong(store.list("wal/"), known, (key) => (walNumber(key) ?? 0) >= (chainFrom ?? 0))
    for (const folder of ["checkpoints/", "shapes/", "probe/", "instances/"])
      await this.removeAmong(store.list(folder), known)
    this.forgetDropped()
  }

  private neededBytes(): ReadonlyMap<string, number> {
    const needed = new Map<string, number>()
    for (const shape of this.options.shapes().all())
      for (const part of [...shape.files, ...shape.snapshotChunks])
        for (const { bytes, pack } of ("extents" in part ? part.extents : undefined) ?? [])
          needed.set(pack, (needed.get(pack) ?? 0) + bytes)
    // No shape is known to be in them yet.
    for (const pack of this.options.inTheMaking()) needed.set(pack, Infinity)
    return needed
  }

  /** Which packs are unused, and since when; of which others little is in use. */
  private notePacks(packs: ReadonlyArray<ObjectInfo>, needed: ReadonlyMap<string, number>): void {
    const { epoch, timers } = this.options
    const before = this.unused
    this.unused = new Map()
    const used: Array<{ readonly pack: string; readonly bytes: number; readonly neededBytes: number }> = []
    for (const { bytes, key } of packs) {
      const pack = key.slice("packs/".length)
      const neededBytes = needed.get(pack) ?? 0
      if (neededBytes === 0) this.unused.set(pack, before.get(pack) ?? timers.nowMillis())
      else if ((packEpoch(pack) ?? Infinity) <= epoch) used.push({ pack, bytes, neededBytes })
    }
    this.chosen = sparsePacks(used)
  }

  private async knowledge(needed: ReadonlyMap<string, number>): Promise<Knowledge> {
    const { chain, epoch, shapes, timers } = this.options
    const { fences, next } = chain.place
    const nowMillis = timers.nowMillis()
    const since = (millis: number | undefined) => (millis === undefined ? undefined : nowMillis - millis)
    return {
      epoch,
      chainFrom: await this.chainFrom(),
      fences: new Set(fences),
      isLive: (handle) => shapes().byHandle(handle) !== undefined,
      isSuperseded: (handle, file) =>
        /^s\d+$/.test(file) && isSuperseded(shapes().byHandle(handle)?.compaction, Number(file.slice(1))),
      droppedMillis: (handle) => since(this.dropped.get(handle)),
      neededBytes: (pack) => needed.get(pack) ?? 0,
      unusedMillis: (pack) => since(this.unused.get(pack)) ?? 0,
      storeMillis: await this.storeMillis(next)
    }
  }

  private async chainFrom(): Promise<number | undefined> {
    const numbers: Array<number> = []
    for await (const { key } of this.options.store.list("checkpoints/")) {
      const digits = /^checkpoints\/(\d{20})$/.exec(key)?.[1]
      if (digits !== undefined) numbers.push(Number(digits))
    }
    return numbers.at(-2)
  }

  /** As of the newest object of the chain; long ago where none is found, so that nothing is old. */
  private async storeMillis(next: number): Promise<number> {
    let newestMillis = -Infinity
    const after = walKey(Math.max(0, next - clockObjects))
    for await (const { modifiedMillis } of this.options.store.list("wal/", after))
      newestMillis = Math.max(newestMillis, modifiedMillis)
    return newestMillis
  }

  private async removeAmong(
    objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>,
    known: Knowledge,
    isBeyond: (key: string) => boolean = () => false
  ): Promise<void> {
    let keys: Array<string> = []
    for await (const object of objects) {
      if (isBeyond(object.key)) break
      if (!isGarbage(object, known)) continue
      keys.push(object.key)
      if (keys.length < batchKeys) continue
      if (!(await this.remove(keys))) return
      keys = []
    }
    if (keys.length > 0) await this.remove(keys)
  }

  private async remove(keys: ReadonlyArray<string>): Promise<boolean> {
    const { chain, settled, store } = this.options
    // What was dropped, or moved elsewhere, before this is so for every later writer, too.
    if (!(await settled()) || (await chain.isTaken())) return false
    await store.remove(keys)
    return true
  }

  /** What was listed after the grace was removed with that. */
  private forgetDropped(): void {
    const nowMillis = this.options.timers.nowMillis()
    for (const [handle, atMillis] of this.dropped)
      if (nowMillis - atMillis >= 3 * graceMillis) this.dropped.delete(handle)
  }
}
