import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import type { Timers } from "../../shared/Timers.ts"
import { firstNudgeMillis, longestNudgeMillis } from "../RegistryTimings.ts"

/** Postgres' pages of WAL, and the longest head that one of them has before its first record. */
const pageBytes = 8192n
const pageHeadBytes = 40n

/** Records that stand before `lsn` end here at the latest: right behind the head of a page there is none yet. */
const lastEndBefore = (lsn: Lsn): Lsn => {
  const inPage = lsn % pageBytes
  return inPage <= pageHeadBytes ? lsn - inPage : lsn
}

interface Waiter {
  readonly lsn: Lsn
  readonly resume: () => void
}

/** How far the stream has been received: everything that commits before is known. */
export class Reception {
  lsn: Lsn = 0n
  private readonly timers: Timers
  /** Asks the server how far it has sent everything: it answers with a keepalive. */
  private readonly ask: () => void
  private waiters: Array<Waiter> = []
  private stopAsking: (() => void) | undefined
  private nextMillis = firstNudgeMillis

  constructor(timers: Timers, ask: () => void) {
    this.timers = timers
    this.ask = ask
  }

  reached(lsn: Lsn): void {
    if (lsn <= this.lsn) return
    this.lsn = lsn
    if (this.waiters.length === 0) return
    const ready = this.waiters.filter((waiter) => waiter.lsn <= lsn)
    this.waiters = this.waiters.filter((waiter) => waiter.lsn > lsn)
    if (this.waiters.length === 0) this.close()
    for (const { resume } of ready) resume()
  }

  /** Completes when every transaction has been received whose commit record stands before `lsn`. */
  until(lsn: Lsn): Effect.Effect<void> {
    const wanted = lastEndBefore(lsn)
    return Effect.suspend(() =>
      this.lsn >= wanted
        ? Effect.void
        : Effect.callback<void>((resume) => {
            const waiter: Waiter = { lsn: wanted, resume: () => resume(Effect.void) }
            this.waiters.push(waiter)
            this.askSoon()
            return Effect.sync(() => {
              this.waiters = this.waiters.filter((other) => other !== waiter)
              if (this.waiters.length === 0) this.close()
            })
          })
    )
  }

  /** Most of the time the stream brings it by itself. */
  private askSoon(): void {
    if (this.stopAsking !== undefined) return
    this.stopAsking = this.timers.after(this.nextMillis, () => {
      this.stopAsking = undefined
      this.nextMillis = Math.min(2 * this.nextMillis, longestNudgeMillis)
      this.ask()
      this.askSoon()
    })
  }

  close(): void {
    this.stopAsking?.()
    this.stopAsking = undefined
    this.nextMillis = firstNudgeMillis
  }
}
