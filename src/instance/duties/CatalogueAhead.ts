import { Deferred, Effect, type Scope } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { TableChange } from "../../postgres/catalogue/TableChange.ts"
import { aheadValidMillis } from "./DutyTimings.ts"
import type { Timers } from "../../shared/Timers.ts"

/** More would take longer than the question about the few that change first. */
const mostTables = 256

interface Look {
  /** Tables whose answer has not been used. */
  readonly oids: Set<number>
  readonly over: Deferred.Deferred<void>
  readonly beganMillis: number
}

/**
 * Asks the catalogue about the tables with shapes while the stream is being started. The stream asks about each table when
 * its first change comes, and waits for every answer: one after the other, and at the moment at which the database is busiest,
 * they would take longer than all the rest of a takeover.
 */
export class CatalogueAhead {
  private readonly inspector: Pick<Inspector["Service"], "readAgain" | "onChange">
  private readonly timers: Timers
  private look: Look | undefined
  /** What the look has brought to light, for the session, which begins to listen after it. */
  private changes: Array<TableChange> | undefined

  constructor(inspector: Pick<Inspector["Service"], "readAgain" | "onChange">, timers: Timers) {
    this.inspector = inspector
    this.timers = timers
  }

  /**
   * Call with the lock held: what the holder before has seen of the catalogue must not be older. `before` is asked first, on the
   * connection that this will use. Never fails.
   */
  begin(
    tables: Iterable<number>,
    before: Effect.Effect<void> = Effect.void
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const oids = new Set<number>()
      for (const oid of tables) {
        if (oids.size === mostTables) break
        oids.add(oid)
      }
      const look: Look = { oids, over: yield* Deferred.make<void>(), beganMillis: this.timers.nowMillis() }
      this.look = look
      this.changes = []
      yield* this.inspector.onChange((change) => void this.changes?.push(change))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          this.look = undefined
          this.changes = undefined
        })
      )
      // Without an answer the tables stay in question, and are asked about one by one.
      yield* Effect.andThen(before, Effect.ignore(this.inspector.readAgain([...oids]))).pipe(
        Effect.ensuring(Deferred.succeed(look.over, undefined))
      )
    })
  }

  /** Completes when the answer about this table is there; `undefined` if it has to be asked for. Once for each table. */
  answer(oid: number): Effect.Effect<void> | undefined {
    const { look } = this
    if (look === undefined || this.timers.nowMillis() - look.beganMillis > aheadValidMillis) return undefined
    return look.oids.delete(oid) ? Deferred.await(look.over) : undefined
  }

  /** Changes that nobody was told of. From now on the caller listens by itself. */
  takeChanges(): ReadonlyArray<TableChange> {
    const { changes } = this
    this.changes = undefined
    return changes ?? []
  }
}
