import type { PollResult } from "../journal/PollResult.ts"
import { StorageTooNew } from "../levels/StorageTooNew.ts"
import { idlePollMillis, readAgainMillis } from "../StorageTimings.ts"
import type { Askers } from "./Askers.ts"
import type { JournalReading } from "./JournalReading.ts"
import type { RoleContext } from "./RoleContext.ts"

/** Why the follower does not look at the journal now. After a failure not even somebody in a hurry is a reason to. */
type Why = "nobodyWaits" | "somebodyWaits" | "failed"

type Doing =
  | { readonly _tag: "Looking" }
  | { readonly _tag: "Pausing"; readonly why: Why; readonly end: () => void }
  | { readonly _tag: "Left" }

const looking: Doing = { _tag: "Looking" }
const left: Doing = { _tag: "Left" }

/** Keeps what is known of storage up to date by reading what the writer of the journal writes, in this process or another. */
export class Following {
  readonly _tag = "following"
  readonly reading: JournalReading
  readonly askers: Askers
  private readonly context: RoleContext
  private readonly forgetWaiters: () => void
  private doing: Doing = looking
  /** Somebody has asked since the last look began. */
  private isAsked = false
  /** An index counted that should not have. */
  private isRefuted = false
  private loop: Promise<void> = Promise.resolve()

  constructor(context: RoleContext, reading: JournalReading, askers: Askers) {
    this.context = context
    this.reading = reading
    this.askers = askers
    // A client that begins to wait during the long pause ends it.
    this.forgetWaiters = context.waiters.first.subscribe(() => this.endPause("nobodyWaits"))
  }

  begin(): void {
    this.loop = this.run()
    this.prove()
  }

  /** Somebody needs what the journal holds now: look at once. */
  lookNow(): void {
    this.isAsked = true
    this.endPause("nobodyWaits")
    this.endPause("somebodyWaits")
  }

  /** Completes when everything that stands in the journal now has been read, also if that happens during a takeover. */
  catchUp(): Promise<void> {
    const caughtUp = this.askers.ask()
    this.lookNow()
    return caughtUp
  }

  /** Completes when nothing is read any more. Those who wait to have caught up go on waiting. */
  async leave(): Promise<void> {
    const { doing } = this
    this.doing = left
    this.forgetWaiters()
    if (doing._tag === "Pausing") doing.end()
    await this.loop
  }

  async close(): Promise<void> {
    await this.leave()
    this.askers.answerAll()
    await this.reading.close()
  }

  private get hasLeft(): boolean {
    return this.doing._tag === "Left"
  }

  private async run(): Promise<void> {
    const { context, askers } = this
    while (!this.hasLeft) {
      this.isAsked = false
      const asked = askers.count
      const result = await this.look()
      if (result === "progress") continue
      if (result === "failed") await this.pause("failed", readAgainMillis)
      // A segment that has lost its end: what comes behind it is read in a while.
      else if (result !== "behind") askers.answer(asked)
      if (this.isAsked) continue
      if (context.waiters.count > 0) await this.pause("somebodyWaits", context.eagerPollMillis())
      else await this.pause("nobodyWaits", idlePollMillis)
    }
  }

  private async look(): Promise<PollResult | "failed"> {
    const { context, reading } = this
    try {
      const result = this.isRefuted ? "stale" : await reading.poll()
      if (result === "stale") await this.load()
      if (result === "progress") context.contents.store.removed.length = 0
      return result
    } catch (error) {
      context.complaints.about(
        "reading",
        error instanceof StorageTooNew
          ? `The journal in ${context.paths.root} is read no further. ${error.message}`
          : `Cannot read the journal in ${context.paths.root}: ${String(error)}. Trying again.`
      )
      return "failed"
    }
  }

  private async load(): Promise<void> {
    await this.reading.load()
    this.isRefuted = false
    if (!this.hasLeft) this.prove()
  }

  /** Reads, behind everything else, what was taken from indexes; loads storage anew where one of them was wrong. */
  private prove(): void {
    const { complaints, contents } = this.context
    const { segments } = contents
    segments.proveAll().then(
      (areRight) => {
        if (areRight || contents.segments !== segments) return
        this.isRefuted = true
        this.lookNow()
      },
      (error: unknown) =>
        complaints.about(
          "proving",
          `Cannot read the journal in ${this.context.paths.root} behind its indexes: ${String(error)}. What stands there is read again when it is asked for.`
        )
    )
  }

  private pause(why: Why, millis: number): Promise<void> {
    if (this.hasLeft) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        if (!this.hasLeft) this.doing = looking
        resolve()
      }
      const cancel = this.context.timers.after(millis, end)
      this.doing = { _tag: "Pausing", why, end }
    })
  }

  private endPause(why: Why): void {
    const { doing } = this
    if (doing._tag === "Pausing" && doing.why === why) doing.end()
  }
}
