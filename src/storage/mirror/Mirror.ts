import { Effect } from "effect"
import { BucketFault } from "../../bucket/BucketFault.ts"
import { FreshLook } from "../../shared/Coalesce.ts"
import { ChainBroken } from "../chain/ChainBroken.ts"
import type { ChainObject } from "../chain/ChainObject.ts"
import type { ToldLink } from "../chain/PlaceAfter.ts"
import type { MirrorStatus } from "../BucketStatus.ts"
import { Complaints } from "../Complaints.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { Waiters } from "../state/Waiters.ts"
import { applyObject, localEnd, type MirrorContext, placeOpening } from "./MirrorContext.ts"
import { MirrorHousekeeping } from "./MirrorHousekeeping.ts"
import { afterFailure, untilNextLook } from "./MirrorPace.ts"
import { restoreAgain } from "./Restore.ts"

interface MirrorOptions extends MirrorContext {
  /** Clients that wait for what comes next are a reason to look more often. */
  readonly waiters: Pick<Waiters, "count" | "first">
  /** Something new can be read in the local directory. */
  readonly onApplied: () => void
  /** How long files that nobody needs any more are left to readers that are in the middle of them. */
  readonly removalDelayMillis: number
}

/** What a writer says of an object that it has created. */
interface CreatedLink extends ToldLink {
  /** It holds more than journal. */
  readonly holdsMore: boolean
  /** The key of a checkpoint that it announces. */
  readonly checkpoint?: string
}

/** How often it is looked whether files are to be removed. */
const tidyMillis = 5_000

/**
 * Keeps the directory of a process that does not write up to date: with what the chain says, one object after the other, and with
 * what the writer shows meanwhile, as far as somebody brings that (`storage/tail`). The follower of this process and HTTP workers
 * read there what they would read in a shared directory.
 *
 * It reads the chain when it is told to, and by itself now and then. Faults of bucket and disk are complained of, and pass.
 */
export class Mirror {
  private readonly options: MirrorOptions
  private readonly housekeeping: MirrorHousekeeping
  private readonly complaints: Complaints
  private readonly look = new FreshLook(() => this.readOn())
  /** The key of the newest checkpoint that was announced and is not in place yet. */
  private announced: string | undefined
  private isPaused = false
  /** This process may have opened the newest epoch, and the local disk have refused to take note of it. */
  private isOpeningPlaced = true
  private isTailAlive = false
  private isRestoring = false
  private reading: Promise<void> = Promise.resolve()
  private keeping: Promise<void> = Promise.resolve()
  /** Somebody has asked for a look since the last one began. */
  private isAsked = false
  private wake: () => void = () => {}
  private lookedAtMillis = 0
  /** Since when the writer is not heard, and is not this process. */
  private aloneSinceMillis = -Infinity
  /** When everything that stood in the chain was here. */
  private caughtUpAtMillis: number

  constructor(options: MirrorOptions) {
    this.options = options
    this.housekeeping = new MirrorHousekeeping(options)
    this.complaints = new Complaints(options.timers, options.warn)
    this.caughtUpAtMillis = options.timers.nowMillis()
  }

  /** Up to where the journal of the newest epoch stands here without a gap. */
  get end(): JournalEnd {
    return this.options.journal.end
  }

  /** For health and metrics; `undefined` while this process writes. */
  get status(): MirrorStatus | undefined {
    if (this.isPaused) return undefined
    const { isTailAlive } = this
    const behindMillis = isTailAlive ? 0 : this.options.timers.nowMillis() - this.caughtUpAtMillis
    return { isTailAlive, behindMillis }
  }

  /** All that goes on by itself. Never ends; to be run by one duty. */
  readonly run: Effect.Effect<never> = Effect.suspend(() =>
    Effect.acquireUseRelease(
      Effect.sync(() => this.options.waiters.first.subscribe(() => this.wake())),
      () => Effect.raceFirst(this.looks(), this.keeps()),
      (forget) => Effect.sync(forget)
    )
  )

  /**
   * Completes when everything that stood in the chain when this was called stands in the local directory, also while paused. Who asks
   * at once shares a look. Fails with `BucketFault`, `DiskFault` and `ChainBroken`.
   */
  catchUp(): Promise<void> {
    return this.look.ask()
  }

  /** Something new is there, or the writer cannot be heard any more: looks at the chain without waiting. */
  lookSoon(): void {
    this.isAsked = true
    this.wake()
  }

  /** This process is going to write: nothing is read, written or removed here by itself any more, once it completes. */
  async pause(): Promise<void> {
    this.isPaused = true
    await this.housekeeping.stop()
    await Promise.allSettled([this.reading])
  }

  /**
   * It does not write any more, or has not come to it: goes on behind what it has written into the chain, and what that has from its
   * successor. Without `pause` before, nothing happens.
   */
  async resume(): Promise<void> {
    if (!this.isPaused) return
    const { chain, journal } = this.options
    this.isOpeningPlaced = false
    await journal.continueFrom(localEnd(chain.place))
    this.isPaused = false
    this.aloneSinceMillis = this.options.timers.nowMillis()
    this.lookSoon()
  }

  /** Lets go of files. What is under way ends before. */
  async close(): Promise<void> {
    await this.pause()
    await Promise.allSettled([this.keeping])
    await this.options.journal.close()
  }

  // The tail

  /** Where the writer of the newest epoch says that it can be reached. */
  get writerUrl(): string | undefined {
    return this.options.chain.place.opening?.url
  }

  /** Whom to ask for what is not in the chain yet, and from where on; `undefined` where nobody can be asked. */
  target(): (JournalEnd & { readonly url: string }) | undefined {
    const { opening } = this.options.chain.place
    const { end } = this
    if (this.isPaused || this.isRestoring || opening?.url === undefined || opening.epoch !== end.epoch)
      return undefined
    return { url: opening.url, ...end }
  }

  /** What the writer of an epoch has shown. False: it is not what is needed here now, see `LocalJournal`. */
  async applyBytes(epoch: number, segment: number, position: number, bytes: Uint8Array): Promise<boolean> {
    if (this.isPaused || this.isRestoring) return false
    const isApplied = await this.options.journal.applyBytes(epoch, segment, position, bytes)
    if (isApplied) this.options.onApplied()
    return isApplied
  }

  /** The writer has created an object of nothing but records that were shown before. If it is not the next one, that is read soon. */
  created(epoch: number, link: CreatedLink): void {
    if (this.isPaused || this.isRestoring) return
    const { chain, journal, objects } = this.options
    const before = chain.place
    if (before.next > link.n) return
    const isHere =
      !link.holdsMore &&
      epoch === journal.end.epoch &&
      link.end.epoch === epoch &&
      isUpTo(link.end, journal.end)
    if (isHere && before.opening?.epoch === epoch && chain.told(link)) {
      objects.note(chain.place, bytesBetween(before.end, link.end))
      if (link.checkpoint !== undefined) this.announced = link.checkpoint
    } else this.lookSoon()
  }

  /** Whether what the writer shows comes here by itself: then the bucket need not be asked so often. */
  readonly isAlive = (alive: boolean): void => {
    this.isTailAlive = alive
    this.aloneSinceMillis = this.options.timers.nowMillis()
    // What it would have brought next is looked for in the chain.
    if (!alive) this.lookSoon()
  }

  // What goes on by itself

  private looks(): Effect.Effect<never> {
    let failures = 0
    const round = Effect.gen({ self: this }, function* () {
      this.isAsked = false
      if (this.isPaused) return yield* this.rest(undefined)
      this.lookedAtMillis = this.options.timers.nowMillis()
      const failure = yield* Effect.tryPromise({ try: () => this.catchUp(), catch: (cause) => cause }).pipe(
        Effect.match({ onFailure: (cause) => ({ cause }), onSuccess: () => undefined })
      )
      if (failure === undefined) {
        failures = 0
        return yield* this.untilNext()
      }
      if (!isExpected(failure.cause)) return yield* Effect.die(failure.cause)
      // What a bucket refuses is told of by who watches it.
      if (!(failure.cause instanceof BucketFault))
        this.complaints.about("copying", this.complaint(failure.cause))
      // Nobody who is in a hurry makes it answer.
      yield* this.sleep(afterFailure(failures++))
    })
    return Effect.forever(round)
  }

  private keeps(): Effect.Effect<never> {
    const round = Effect.tryPromise({ try: () => this.keep(), catch: (cause) => cause }).pipe(
      Effect.catch((cause) =>
        isExpected(cause)
          ? Effect.sync(() =>
              this.complaints.about(
                "local checkpoint",
                `The local copy of the newest checkpoint cannot be renewed: ${cause.message}. It is tried again; until then the journal in ${this.options.paths.root} grows.`
              )
            )
          : Effect.die(cause)
      )
    )
    return Effect.forever(Effect.andThen(round, this.sleep(tidyMillis)))
  }

  private complaint(cause: DiskFault | ChainBroken): string {
    const { root } = this.options.paths
    return `Changes do not come to ${root}: ${cause.message}. It is tried again; shapes are served as they are.`
  }

  /** Clients that begin to wait meanwhile, or a tail that ends, make it shorter. */
  private untilNext(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { timers, waiters } = this.options
      const { aloneSinceMillis, isTailAlive } = this
      const now = timers.nowMillis()
      const aloneMillis = now - aloneSinceMillis
      const pauseMillis = untilNextLook({ isTailAlive, awaited: waiters.count > 0, aloneMillis })
      const left = this.lookedAtMillis + pauseMillis - now
      if (this.isAsked || this.isPaused || left <= 0) return Effect.void
      return Effect.andThen(
        this.rest(left),
        Effect.suspend(() => this.untilNext())
      )
    })
  }

  /** Ends early when somebody asks for a look, or has done so since the last one began. */
  private rest(millis: number | undefined): Effect.Effect<void> {
    const woken = Effect.callback<void>((resume) => {
      if (this.isAsked) return resume(Effect.void)
      this.wake = () => resume(Effect.void)
      return Effect.sync(() => {
        this.wake = () => {}
      })
    })
    return millis === undefined ? woken : Effect.raceFirst(woken, this.sleep(millis))
  }

  private sleep(millis: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const cancel = this.options.timers.after(millis, () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }

  private readOn(): Promise<void> {
    const read = this.readChain()
    this.reading = read
    return read
  }

  private async readChain(): Promise<void> {
    const { chain, paths, timers } = this.options
    const began = timers.nowMillis()
    const apply = (object: ChainObject) => this.apply(object)
    if (!this.isPaused && !this.isOpeningPlaced) {
      await placeOpening(paths, chain.place)
      this.isOpeningPlaced = true
    }
    try {
      await chain.readOn(apply)
    } catch (error) {
      if (!(error instanceof ChainBroken && error.heals)) throw error
      this.isRestoring = true
      try {
        await restoreAgain(this.options, error)
      } finally {
        this.isRestoring = false
      }
      await chain.readFrom(chain.place, apply)
    }
    this.caughtUpAtMillis = began
  }

  private async apply(object: ChainObject): Promise<void> {
    await applyObject(this.options, object)
    if (object.checkpoint !== undefined) this.announced = object.checkpoint
    this.options.onApplied()
  }

  private keep(): Promise<void> {
    if (this.isPaused) return Promise.resolve()
    const kept = this.keepHouse()
    this.keeping = kept
    return kept
  }

  private async keepHouse(): Promise<void> {
    const { announced } = this
    if (announced !== undefined) {
      await this.takeCheckpoint(announced)
      if (this.announced === announced) this.announced = undefined
    }
    if (!this.isPaused) await this.housekeeping.tidy()
  }

  private async takeCheckpoint(key: string): Promise<void> {
    try {
      const { objects } = this.options
      const { totalBytes } = objects
      const header = await this.housekeeping.take(key, () => !this.isPaused && !this.isRestoring)
      if (header !== undefined) objects.checkpointed(header.place.next, totalBytes)
    } catch (error) {
      if (!(error instanceof ChainBroken)) throw error
      this.options.warn(
        `${error.object} ${error.said}. The local checkpoint stays as it is until the next one comes.`,
        "BATON-BUCKET-CHAIN"
      )
    }
  }
}

const isUpTo = (a: JournalEnd, b: JournalEnd): boolean =>
  a.segment < b.segment || (a.segment === b.segment && a.position <= b.position)

/** As far as that can be told from where they stand: of the segments in between none is known. */
const bytesBetween = (from: JournalEnd, to: JournalEnd): number =>
  from.epoch === to.epoch && from.segment === to.segment ? to.position - from.position : to.position

const isExpected = (cause: unknown): cause is BucketFault | DiskFault | ChainBroken =>
  cause instanceof BucketFault || cause instanceof DiskFault || cause instanceof ChainBroken
