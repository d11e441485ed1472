import type { ChainContent } from "../chain/ChainObject.ts"
import { type EpochRecord, publishEpoch } from "../journal/Epochs.ts"
import type { Shipping, StartShipping } from "../journal/Shipping.ts"
import { CheckpointUploads } from "../mirror/CheckpointUploads.ts"
import { localEnd, type MirrorContext } from "../mirror/MirrorContext.ts"
import type { JournalEnd } from "../records/Records.ts"
import { ChangedFiles } from "./ChangedFiles.ts"
import type { Durability } from "./Durability.ts"
import { lookMillis, objectBytes, openingMillis, openingPauseMillis } from "./DurabilityTimings.ts"
import { inGroups, type Piece, piecesBetween, readPieces } from "./JournalPieces.ts"
import { Shipper } from "./Shipper.ts"

/** What keeps the local directory a copy of the bucket, while somebody else writes. */
interface Mirroring {
  /** Everything that is in the chain by now stands in the local directory when this completes. */
  catchUp(): Promise<void>
  /** From when this completes nothing changes in the local directory but by `catchUp`. */
  pause(): Promise<void>
  resume(): Promise<void>
}

interface BucketOptions {
  readonly context: MirrorContext
  readonly mirror: Mirroring
  readonly flushMillis: number
  /** Where others reach this instance to be shown what it writes; `undefined`: they cannot be told. */
  readonly url: string | undefined
}

/**
 * What is in the chain counts, in the order of the chain. An epoch is opened by the object that says so, together with what is known
 * here of the journal before it and did not get into the chain: then it has happened. Whoever else would write there finds that
 * object in the place of its own next one.
 */
export class BucketDurability implements Durability {
  private readonly options: BucketOptions
  private readonly files: ChangedFiles
  private shipper: Shipper | undefined
  private uploads: CheckpointUploads | undefined
  private lookedMillis = -Infinity
  private opened: number | undefined
  /** What this instance wrote before is still on its way: it must have ended before anybody writes again. */
  private closing: Promise<void> = Promise.resolve()

  constructor(options: BucketOptions) {
    this.options = options
    this.files = new ChangedFiles(options.context.paths)
  }

  /** Of this instance, while it writes. */
  get shipping(): Shipper | undefined {
    return this.shipper
  }

  /** The epoch that this instance has opened last, if any: what others write in later ones is news to it, what it wrote itself is not. */
  get openedEpoch(): number | undefined {
    return this.opened
  }

  catchUp(): Promise<void> {
    return this.options.mirror.catchUp()
  }

  async claim(known: number): Promise<number> {
    const { context, mirror } = this.options
    await this.closing
    await mirror.pause()
    await mirror.catchUp()
    return Math.max(known, context.chain.place.opening?.epoch ?? 0) + 1
  }

  /** A claim is nothing but a number. */
  withdraw(): Promise<void> {
    return Promise.resolve()
  }

  giveUp(): Promise<void> {
    return this.options.mirror.resume()
  }

  async publish(record: EpochRecord, isWanted: () => boolean): Promise<EpochRecord | undefined> {
    if (!(await this.open(record, isWanted))) return undefined
    await publishEpoch(this.options.context.paths, record)
    await this.files.begin()
    return record
  }

  /** What is known of the journal before comes first, the last of it in the object that opens the epoch. */
  private async open(record: EpochRecord, isWanted: () => boolean): Promise<boolean> {
    const { context, url } = this.options
    const { chain, objects, timers } = context
    const { previous } = record
    const groups = previous === null ? [] : await this.restOf(previous)
    const deadline = timers.nowMillis() + openingMillis
    const isInTime = () => isWanted() && timers.nowMillis() < deadline
    const append = async (content: ChainContent) => {
      const outcome = await chain.append(content, isInTime, openingPauseMillis)
      if (outcome === "created") objects.note(chain.place, bytesOf(content))
      return outcome
    }
    for (const [i, group] of groups.slice(0, -1).entries()) {
      const ranges = await this.read(group, previous)
      if ((await append({ epoch: ranges[0]?.epoch ?? 0, ranges, isFence: i === 0 })) === "overtaken")
        return false
    }
    const last = groups.at(-1)
    const outcome = await append({
      epoch: record.epoch,
      ranges: last === undefined ? [] : await this.read(last, previous),
      opens: { ...record, ...(url === undefined ? {} : { url }) },
      isFence: groups.length <= 1
    })
    this.lookedMillis = timers.nowMillis()
    if (outcome === "created") this.opened = record.epoch
    return outcome === "created"
  }

  private read(pieces: ReadonlyArray<Piece>, previous: JournalEnd | null) {
    return readPieces(this.options.context.paths, previous?.epoch ?? 0, pieces)
  }

  private async restOf(previous: JournalEnd): Promise<ReadonlyArray<ReadonlyArray<Piece>>> {
    const { chain, paths } = this.options.context
    const from = localEnd(chain.place)
    if (from.epoch !== previous.epoch)
      throw new Error(
        `The journal was read up to epoch ${previous.epoch}, and the chain has come to ${from.epoch}. This is a bug.`
      )
    return inGroups(await piecesBetween(paths, from, previous), objectBytes)
  }

  /** The object that opens an epoch is all that it stands on. */
  secure(): Promise<void> {
    return Promise.resolve()
  }

  /**
   * Whoever has taken over has created the object that would be this writer's next. While that is on its way, or has just got there,
   * nobody has to be asked.
   */
  async highestClaim(own: number): Promise<number> {
    const { chain, timers } = this.options.context
    const { shipper } = this
    if (shipper === undefined || shipper.isOvertaken) return own + 1
    const lastMillis = Math.max(this.lookedMillis, shipper.createdMillis)
    if (shipper.isBusy || timers.nowMillis() - lastMillis < lookMillis) return own
    if (await chain.isTaken()) return own + 1
    this.lookedMillis = timers.nowMillis()
    return own
  }

  async keepCheckpoint(): Promise<boolean> {
    return (await this.uploads?.round()) !== undefined
  }

  readonly ship: StartShipping = ({ counts, epoch, onTrouble, overtaken, shipped }) => {
    const { context, flushMillis, mirror } = this.options
    const { chain, objects, paths, timers } = context
    const shipper = new Shipper({
      paths,
      chain,
      timers,
      epoch,
      appended: (content) => objects.note(chain.place, bytesOf(content)),
      flushMillis,
      changedFiles: () => this.files.take(),
      counts,
      shipped,
      overtaken,
      onTrouble
    })
    this.shipper = shipper
    this.uploads = new CheckpointUploads(context, (key) => shipper.announce(key))
    const shipping: Shipping = {
      wrote: (range) => shipper.wrote(range),
      hurry: (marker) => shipper.hurry(marker),
      close: () => {
        const close = async () => {
          await shipper.close()
          this.shipper = undefined
          this.uploads = undefined
          await mirror.resume()
        }
        const closed = close()
        this.closing = closed.catch(() => {})
        return closed
      }
    }
    return shipping
  }
}

const bytesOf = ({ ranges }: ChainContent): number => {
  let bytes = 0
  for (const range of ranges) bytes += range.bytes.length
  return bytes
}
