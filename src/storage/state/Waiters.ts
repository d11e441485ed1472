import { Effect } from "effect"
import { Listeners } from "../../shared/Listeners.ts"
import { systemTimers, type Timers } from "../../shared/Timers.ts"

export type WakeReason = "changed" | "dropped" | "timeout"

/** One held request. */
export interface Waiter {
  /** Called once for each `add`, unless it was taken out again. Must not throw: others are woken after it. */
  resume(reason: WakeReason): void
  /** The waiters of its shape: it stands there until it is woken. */
  set: Set<Waiter> | undefined
  slot: number
}

/** Requests woken in one go; the rest follow after other work has had its turn. */
const wakeBatch = 256

/**
 * Holds requests until their shape changes or their time is over. One timer serves all of them: a held request
 * costs a small object and no work while nothing happens. Time-outs fire up to one tick late.
 */
export class Waiters {
  private readonly slots = new Map<number, Set<Waiter>>()
  private stopTicking: (() => void) | undefined
  private readonly timers: Timers
  private readonly tickMillis: number
  count = 0
  /** Told when somebody begins to wait and nobody did before. */
  readonly first = new Listeners<[]>()

  constructor(timers = systemTimers, tickMillis = 100) {
    this.timers = timers
    this.tickMillis = tickMillis
  }

  /**
   * Waits in the set that `enter` gives, or not at all if `enter` gives a reason: looking and entering are one step, so
   * nothing that happens in between is missed.
   */
  wait(enter: () => Set<Waiter> | WakeReason, timeoutMillis: number): Effect.Effect<WakeReason> {
    return Effect.callback<WakeReason>((resume) => {
      const set = enter()
      if (typeof set === "string") {
        resume(Effect.succeed(set))
        return
      }
      const waiter: Waiter = { resume: (reason) => resume(Effect.succeed(reason)), set, slot: 0 }
      this.add(waiter, set, timeoutMillis)
      return Effect.sync(() => this.forget(waiter))
    })
  }

  /** Lets a waiter that does not wait stand in `set` until it is woken, or its time is over. */
  add(waiter: Waiter, set: Set<Waiter>, timeoutMillis: number): void {
    const slot = Math.ceil((this.timers.nowMillis() + timeoutMillis) / this.tickMillis)
    waiter.set = set
    waiter.slot = slot
    set.add(waiter)
    let bucket = this.slots.get(slot)
    if (bucket === undefined) this.slots.set(slot, (bucket = new Set()))
    bucket.add(waiter)
    if (this.count++ === 0) this.first.tell()
    if (this.stopTicking === undefined) this.tick()
  }

  /** Takes a waiter out. One that is being woken may still be resumed. */
  forget(waiter: Waiter): void {
    const bucket = this.slots.get(waiter.slot)
    if (bucket === undefined || !bucket.delete(waiter)) return
    if (bucket.size === 0) this.slots.delete(waiter.slot)
    waiter.set?.delete(waiter)
    waiter.set = undefined
    this.count--
    if (this.count === 0) {
      this.stopTicking?.()
      this.stopTicking = undefined
    }
  }

  private tick(): void {
    this.stopTicking = this.timers.after(this.tickMillis, () => {
      this.tick()
      this.expire()
    })
  }

  private expire(): void {
    const current = this.timers.nowMillis() / this.tickMillis
    for (const [slot, bucket] of this.slots) {
      if (slot > current) continue
      for (const waiter of bucket) {
        this.forget(waiter)
        waiter.resume("timeout")
      }
    }
  }

  /** Wakes everybody in the set, some now and the others in later turns of the event loop. */
  wake(set: Set<Waiter>, reason: WakeReason): void {
    if (set.size === 0) return
    const woken = [...set]
    for (const waiter of woken) this.forget(waiter)
    let at = 0
    const next = () => {
      const end = Math.min(woken.length, at + wakeBatch)
      for (; at < end; at++) woken[at]?.resume(reason)
      if (at < woken.length) setImmediate(next)
    }
    next()
  }

  /** Wakes everybody everywhere: they look again, and those with nothing to see wait again, in the same slots. */
  wakeAll(): void {
    const woken = Array.from(this.slots.values(), (bucket) => [...bucket]).flat()
    for (const waiter of woken) {
      this.forget(waiter)
      waiter.resume("changed")
    }
  }
}
