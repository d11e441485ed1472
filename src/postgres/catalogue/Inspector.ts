import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import { whyAbsent } from "./AbsentTable.ts"
import type { PgError } from "../errors/PgError.ts"
import { AdminPool } from "../connection/Pools.ts"
import type { TableChange } from "./TableChange.ts"
import { SchemaMemory } from "./SchemaMemory.ts"
import { makeSingleFlight } from "../../shared/Coalesce.ts"
import { TableCache } from "./TableCache.ts"
import { TableLookUps } from "./TableLookUps.ts"
import type { TableInfo } from "./TableInfo.ts"

/** Tables that are compared in one go: whoever watches tables sees sooner what is altered in those that have shapes. */
const refreshedAtOnce = 500

/**
 * What the catalogue says of tables, remembered. Ordinary and partitioned tables exist for it; views, foreign,
 * temporary and system tables do not, nor do tables without columns.
 *
 * Answers come from memory as long as nothing called them into question. When they are in question and the database
 * cannot be asked, or does not answer within a second, the remembered answer is given all the same: an outage must not take existing shapes from their
 * readers. A table that was never seen, nor by an instance before this one (`SchemaMemory`), then fails with the `PgError`.
 * Tables that do not exist are looked for each time.
 */
export class Inspector extends Context.Service<
  Inspector,
  {
    readonly table: (schema: string, name: string) => Effect.Effect<TableInfo | undefined, PgError>
    /**
     * The same as the catalogue has it now, or has had since this was asked. Nothing remembered stands in for it: fails when
     * there is no answer within two seconds.
     */
    readonly tableNow: (schema: string, name: string) => Effect.Effect<TableInfo | undefined, PgError>
    /** What there is of that name instead, for clients; `undefined` when there is nothing. */
    readonly whyAbsent: (schema: string, name: string) => Effect.Effect<string | undefined, PgError>
    readonly tableByOid: (oid: number) => Effect.Effect<TableInfo | undefined, PgError>
    /** From memory only, in question or not. */
    readonly remembered: (schema: string, name: string) => TableInfo | undefined
    readonly rememberedByOid: (oid: number) => TableInfo | undefined
    /**
     * `server_version_num` of the database when it was last asked. Before that the newest version is assumed, so that
     * nothing that may exist is refused.
     */
    readonly serverVersionNum: () => number
    /** Whether the remembered answer for this table is not in question. */
    readonly isFresh: (oid: number) => boolean
    /** All that is remembered: what `restore` takes, after a restart. */
    readonly all: () => ReadonlyArray<TableInfo>
    /** Remembers descriptions from an earlier run, all of them in question. Those that are known already stay. */
    readonly restore: (tables: ReadonlyArray<TableInfo>) => void
    /** Calls a table into question: the next answer about it, lookups under way included, comes from the catalogue. */
    readonly invalidate: (oid: number) => void
    /** Calls these tables into question and reads them at once, whether remembered or not. */
    readonly readAgain: (oids: ReadonlyArray<number>) => Effect.Effect<void, PgError>
    /**
     * Reads remembered tables again and returns what changed; `onChange` is told as well. All of them, or as many as one look may
     * take, those next that were not read for longest.
     */
    readonly refresh: Effect.Effect<ReadonlyArray<TableChange>, PgError>
    /**
     * Calls back, synchronously, for each change that any look at the catalogue brings to light, until the scope closes.
     * A change is told once. Nothing is told of tables that were not remembered.
     */
    readonly onChange: (listener: (change: TableChange) => void) => Effect.Effect<void, never, Scope.Scope>
  }
>()("baton/postgres/Inspector") {
  static readonly layer = Layer.effect(
    Inspector,
    Effect.gen(function* () {
      const database = yield* AdminPool
      // Requests for unknown tables must not use up the connections that the lock breaker needs.
      const turns = yield* Semaphore.make(2)
      const cache = new TableCache()
      let refreshed = 0
      const lookUps = new TableLookUps({
        database,
        cache,
        before: yield* SchemaMemory,
        turns,
        share: yield* makeSingleFlight<TableInfo | undefined, PgError>(),
        scope: yield* Effect.scope
      })

      return Inspector.of({
        table: (schema, name) => lookUps.byName({ schema, name }),
        tableNow: (schema, name) => lookUps.now({ schema, name }),
        whyAbsent: (schema, name) => turns.withPermit(whyAbsent(database, { schema, name })),
        tableByOid: (oid) => lookUps.byOid(oid),
        remembered: (schema, name) => cache.byName({ schema, name }),
        rememberedByOid: (oid) => cache.byOid(oid),
        serverVersionNum: () => lookUps.serverVersionNum,
        isFresh: (oid) => cache.isFresh(oid),
        all: () => cache.all(),
        restore: (tables) => cache.restore(tables),
        invalidate: (oid) => cache.invalidate(oid),
        readAgain: (oids) =>
          Effect.suspend(() => {
            for (const oid of oids) cache.invalidate(oid)
            return lookUps.readAll(oids)
          }),
        refresh: Effect.gen(function* () {
          const changes: Array<TableChange> = []
          const stop = cache.listen((change) => changes.push(change))
          const all = cache.all()
          const from = refreshed < all.length ? refreshed : 0
          const oids = all.slice(from, from + refreshedAtOnce).map((table) => table.oid)
          refreshed = from + refreshedAtOnce
          return yield* lookUps.readAll(oids).pipe(Effect.as(changes), Effect.ensuring(Effect.sync(stop)))
        }),
        onChange: (listener) =>
          Effect.asVoid(
            Effect.acquireRelease(
              Effect.sync(() => cache.listen(listener)),
              (stop) => Effect.sync(stop)
            )
          )
      })
    })
  )
}
