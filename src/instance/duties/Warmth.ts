import { Context, Effect, Layer } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { describeByOid } from "../../postgres/catalogue/DescribeTables.ts"
import { AdminPool } from "../../postgres/connection/Pools.ts"
import { lookAtColumns } from "../../postgres/catalogue/RewriteLook.ts"
import { readPublication, readTables } from "../../postgres/publication/PublicationState.ts"
import { Conditions } from "../../http/shape/Conditions.ts"
import { SnapshotSessions } from "../../registry/snapshot/SnapshotSessions.ts"
import { makeErrands } from "../../shared/Duty.ts"
import { Storage } from "../../storage/Storage.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { TakeoverPractice } from "./TakeoverPractice.ts"
import { practiceAfterMillis, practiceMillis, warmMillis } from "./DutyTimings.ts"

/** What a takeover, and the first shape after it, need at the same time. */
const adminConnections = 2
/** Tables that are looked at: those with the first shapes. */
const mostTables = 16

/**
 * Keeps a waiting instance ready to take over at any moment: connecting to Postgres costs more than everything else that a
 * takeover asks of it.
 */
export class Warmth extends Context.Service<
  Warmth,
  {
    /**
     * Keeps a few connections open, whose backends have looked at the publication and at tables with shapes before: the
     * first time that a backend describes a table takes it many times as long as the next one, and the stream waits for that.
     * Where shapes have conditions, the next one can be checked at once, too. And goes through a takeover for practice: see `TakeoverPractice`.
     * Never ends, and never fails: a database that is out of reach has the waiting instance connect when it takes over. Does
     * nothing where databases are to be left alone (`replicationIdleTimeoutMillis`).
     */
    readonly keep: Effect.Effect<never>
  }
>()("baton/instance/duties/Warmth") {
  static readonly layer = Layer.effect(
    Warmth,
    Effect.gen(function* () {
      const { publicationName, replicationIdleTimeoutMillis } = yield* Config
      const admin = yield* AdminPool
      const snapshots = yield* SnapshotSessions
      const conditions = yield* Conditions
      const { engine } = yield* Storage
      const tables = () => {
        const oids = new Set<number>()
        for (const { common } of engine.store.all()) {
          oids.add(common.table.oid)
          if (oids.size === mostTables) break
        }
        return [...oids]
      }
      const look = Effect.flatMap(readPublication(admin, publicationName), (publication) => {
        const oids = tables()
        const published =
          publication === undefined
            ? Effect.void
            : readTables(admin, publicationName, publication, oids, { generatedColumns: false })
        return Effect.all([describeByOid(admin, oids), published, lookAtColumns(admin, oids)])
      })
      const use = Effect.andThen(
        Effect.all(
          [Effect.scoped(snapshots.acquire), ...Array.from({ length: adminConnections }, () => look)],
          { concurrency: "unbounded", discard: true }
        ),
        Effect.suspend(() => (hasConditions(engine) ? (conditions.keepReady ?? Effect.void) : Effect.void))
      )
      const keep = use.pipe(
        Effect.catch((error) =>
          Effect.logDebug(`Connections for a takeover are not ready: ${error.message}`)
        ),
        Effect.andThen(Effect.sleep(warmMillis)),
        Effect.forever
      )
      const practice = yield* TakeoverPractice
      const run = yield* makeErrands
      // Nobody waits for it when the lock comes. An instance that is given the lock at once does without it.
      const practising = Effect.sleep(practiceAfterMillis).pipe(
        Effect.andThen(Effect.sync(() => run("A takeover for practice", practice))),
        Effect.andThen(Effect.sleep(practiceMillis)),
        Effect.forever
      )
      const ready = Effect.raceFirst(keep, practising)
      return { keep: replicationIdleTimeoutMillis === undefined ? ready : Effect.never }
    })
  )
}

/** Without any, the parser of conditions is not worth its memory before the first one comes. */
export const hasConditions = ({ store }: StorageEngine): boolean => {
  for (const shape of store.all()) if (shape.hasCondition) return true
  return false
}
