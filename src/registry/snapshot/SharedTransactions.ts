import { Effect, Exit, Scope } from "effect"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { SnapshotSessions } from "./SnapshotSessions.ts"
import { beginSnapshot, type SnapshotTransaction } from "./SnapshotTransaction.ts"
import { type Timers } from "../../shared/Timers.ts"
import { oldestSharedMillis, sharingPatienceMillis } from "../RegistryTimings.ts"

/** Bounds on what sharing may cost those who share. */
export interface SharingLimits {
  /** Who has waited this long gets a transaction of its own. */
  readonly patienceMillis: number
  /** A transaction is not handed on when it is older: its snapshot holds up VACUUM, and new shapes want new snapshots. */
  readonly oldestMillis: number
}

export const defaultSharingLimits: SharingLimits = {
  patienceMillis: sharingPatienceMillis,
  oldestMillis: oldestSharedMillis
}

/** A transaction that others may be given next. */
export interface SharedTransaction extends SnapshotTransaction {
  readonly tableOid: number
  /** A reader that came before it was begun has a number below this. */
  readonly order: number
  readonly beganMillis: number
  readonly scope: Scope.Closeable
}

interface Waiter {
  readonly tableOid: number
  readonly order: number
  readonly sinceMillis: number
  /** `undefined`: it begins a transaction of its own. */
  readonly resume: (transaction: SharedTransaction | undefined) => void
}

/**
 * Transactions for snapshots. When many shapes of one table are made at once, one transaction serves several of them one
 * after another: beginning one costs as much as reading a few rows. Nobody is given a transaction that was begun before
 * they asked, so the snapshot is always as new as one of their own; nor does anybody wait long for one that another
 * keeps busy.
 */
export class SharedTransactions {
  private readonly sessions: SnapshotSessions["Service"]
  private readonly timers: Timers
  private readonly limits: SharingLimits
  private waiting: Array<Waiter> = []
  /** Number of transactions by table. */
  private readonly open = new Map<number, number>()
  private order = 0
  private isWatching = false

  constructor(
    sessions: SnapshotSessions["Service"],
    timers: Timers,
    limits: SharingLimits = defaultSharingLimits
  ) {
    this.sessions = sessions
    this.timers = timers
    this.limits = limits
  }

  /** Gives `use` a REPEATABLE READ READ ONLY transaction, as of `beginSnapshot`. */
  use<A, E, E2>(
    tableOid: number,
    use: (transaction: SharedTransaction) => Effect.Effect<A, E>,
    refusal: (error: PgError) => Effect.Effect<never, E2>
  ): Effect.Effect<A, E | E2> {
    // Without a scope: providing one copies the whole context, for every shape.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(Effect.catch(this.obtain(tableOid), refusal)), (transaction) =>
        Effect.onExit(restore(use(transaction)), () => this.handOn(transaction))
      )
    )
  }

  /** Somebody waits who could be given this transaction next: it should not be ended yet. */
  isWanted(transaction: SharedTransaction): boolean {
    return this.indexOfNext(transaction) >= 0
  }

  private obtain(tableOid: number): Effect.Effect<SharedTransaction, PgError> {
    return Effect.suspend(() =>
      this.open.has(tableOid)
        ? Effect.flatMap(this.wait(tableOid), (given) =>
            given === undefined ? this.begin(tableOid) : Effect.succeed(given)
          )
        : this.begin(tableOid)
    )
  }

  private wait(tableOid: number): Effect.Effect<SharedTransaction | undefined> {
    return Effect.suspend(() => {
      let given: SharedTransaction | undefined
      return Effect.callback<SharedTransaction | undefined>((resume) => {
        const waiter: Waiter = {
          tableOid,
          order: ++this.order,
          sinceMillis: this.timers.nowMillis(),
          resume: (transaction) => {
            given = transaction
            resume(Effect.succeed(transaction))
          }
        }
        this.waiting.push(waiter)
        this.watch()
        return Effect.sync(() => {
          this.waiting = this.waiting.filter((other) => other !== waiter)
        })
      }).pipe(
        Effect.onInterrupt(() =>
          // Given just when its time was over.
          given === undefined ? Effect.void : this.handOn(given)
        )
      )
    })
  }

  private begin(tableOid: number): Effect.Effect<SharedTransaction, PgError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function* () {
        const scope = yield* Scope.make()
        this.open.set(tableOid, (this.open.get(tableOid) ?? 0) + 1)
        let order = 0
        let beganMillis = 0
        // Others have asked at this moment, too, and what is sent after that is for them as well.
        const beginning = Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => {
            order = ++this.order
            beganMillis = this.timers.nowMillis()
            return Scope.provide(beginSnapshot(this.sessions, tableOid), scope)
          })
        )
        const begun = yield* Effect.onError(restore(beginning), () => this.end(tableOid, scope))
        return { ...begun, tableOid, order, beganMillis, scope }
      })
    )
  }

  private handOn(transaction: SharedTransaction): Effect.Effect<void> {
    return Effect.suspend(() => {
      const at = transaction.session.isInTransaction ? this.indexOfNext(transaction) : -1
      const [next] = at < 0 ? [] : this.waiting.splice(at, 1)
      if (next === undefined) return this.end(transaction.tableOid, transaction.scope)
      next.resume(transaction)
      return Effect.void
    })
  }

  private indexOfNext(transaction: SharedTransaction): number {
    if (this.timers.nowMillis() - transaction.beganMillis > this.limits.oldestMillis) return -1
    return this.waiting.findIndex(
      ({ tableOid, order }) => tableOid === transaction.tableOid && order < transaction.order
    )
  }

  private end(tableOid: number, scope: Scope.Closeable): Effect.Effect<void> {
    return Effect.andThen(
      Scope.close(scope, Exit.void),
      Effect.sync(() => {
        const left = (this.open.get(tableOid) ?? 1) - 1
        if (left > 0) this.open.set(tableOid, left)
        else this.open.delete(tableOid)
        this.resumeOne(this.waiting.findIndex((waiter) => waiter.tableOid === tableOid))
      })
    )
  }

  private resumeOne(at: number): void {
    const [waiter] = at < 0 ? [] : this.waiting.splice(at, 1)
    waiter?.resume(undefined)
  }

  /** Sees to it that nobody waits for long. */
  private watch(): void {
    if (this.isWatching) return
    this.isWatching = true
    const look = () => {
      this.isWatching = false
      const [first] = this.waiting
      if (first === undefined) return
      if (this.timers.nowMillis() - first.sinceMillis >= this.limits.patienceMillis) this.resumeOne(0)
      this.watch()
    }
    this.timers.after(this.limits.patienceMillis, look, "aside")
  }
}
