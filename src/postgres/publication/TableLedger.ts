import { Effect, Semaphore } from "effect"
import type { WriterBound } from "./OpenWriters.ts"

/**
 * What the active instance knows of tables in the publication, by OID: whether they are settled (no transaction is open
 * that wrote to them before they were published), the bound to wait for until then, and since when no shape uses them.
 */
export class TableLedger {
  private readonly settled = new Set<number>()
  private readonly bounds = new Map<number, WriterBound>()
  private readonly unused = new Map<number, number>()
  private readonly locks = new Map<number, Semaphore.Semaphore>()
  private readonly atWork = new Map<number, number>()
  private readonly lastTouch = new Map<number, number>()
  private now = 0

  /** Another instance may have published and removed tables meanwhile: nothing is known of any table. */
  forget(): void {
    this.settled.clear()
    this.bounds.clear()
    this.unused.clear()
  }

  isSettled(oid: number): boolean {
    return this.settled.has(oid)
  }

  boundOf(oid: number): WriterBound | undefined {
    return this.bounds.get(oid)
  }

  setBound(oid: number, bound: WriterBound): void {
    this.settled.delete(oid)
    this.bounds.set(oid, bound)
  }

  /** The table is about to be published anew: what was known of its writers counts no more. */
  unsettle(oid: number): void {
    this.settled.delete(oid)
    this.bounds.delete(oid)
  }

  /** No writer from before the bound is left; unless another bound has taken its place. */
  settle(oid: number, bound: WriterBound): void {
    if (this.bounds.get(oid) === bound) this.trust(oid)
  }

  trust(oid: number): void {
    this.bounds.delete(oid)
    this.settled.add(oid)
  }

  /** A moment to ask `touchedSince` about. */
  tick(): number {
    return ++this.now
  }

  /** Whether a shape has asked for the table since then, or is just being answered. */
  touchedSince(oid: number, tick: number): boolean {
    return (this.atWork.get(oid) ?? 0) > 0 || (this.lastTouch.get(oid) ?? 0) > tick
  }

  /** Work for a shape that needs the table. */
  using<A, E>(oid: number, work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.unused.delete(oid)
      this.atWork.set(oid, (this.atWork.get(oid) ?? 0) + 1)
      return Effect.ensuring(
        this.exclusively(oid, work),
        Effect.sync(() => {
          this.atWork.set(oid, (this.atWork.get(oid) ?? 1) - 1)
          this.lastTouch.set(oid, this.tick())
        })
      )
    })
  }

  /** One piece of work per table at a time: nothing is added while it is being removed. */
  exclusively<A, E>(oid: number, work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      let lock = this.locks.get(oid)
      if (lock === undefined) {
        lock = Semaphore.makeUnsafe(1)
        this.locks.set(oid, lock)
      }
      return lock.withPermit(work)
    })
  }

  /** Notes that no shape uses the table, and says for how long that has been so. */
  unusedMillis(oid: number, nowMillis: number): number {
    const since = this.unused.get(oid)
    if (since === undefined) this.unused.set(oid, nowMillis)
    return nowMillis - (since ?? nowMillis)
  }

  markUsed(oid: number): void {
    this.unused.delete(oid)
  }
}
