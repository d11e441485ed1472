import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import { whyAbsent } from "./AbsentTable.ts"
import { describeByName, describeByOid, type Descriptions } from "./DescribeTables.ts"
import type { TableName } from "../Identifiers.ts"
import { ownPgError, type PgError } from "../errors/PgError.ts"
import { AdminPool } from "../connection/Pools.ts"
import type { TableChange } from "./TableChange.ts"
import { SchemaMemory } from "./SchemaMemory.ts"
import { makeSingleFlight } from "../../shared/SingleFlight.ts"
import { TableCache } from "./TableCache.ts"
import type { TableInfo } from "./TableInfo.ts"

/**
 * What the catalogue says of tables, remembered. Ordinary and partitioned tables exist for it; views, foreign,
 * temporary and system tables do not, nor do tables without columns.
 *
 * Answers come from memory as long as nothing called them into question. When they are in question and the database
 * cannot be asked, or does not answer within a second, the remembered answer is given all the same: an outage must not take existing shapes from their
 * readers. A table that was never seen, nor by whoever was here before (`SchemaMemory`), then fails with the `PgError`.
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
    /** Reads every remembered table again and returns what changed; `onChange` is told as well. */
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
      const memoryOfBefore = yield* SchemaMemory

      let serverVersionNum = newestVersionNum

      /** Remembers all tables that were found; the OIDs that were looked for and are not there have vanished. */
      const fetch = (read: Effect.Effect<Descriptions, PgError>, oids: ReadonlyArray<number>) =>
        turns.withPermit(
          Effect.suspend(() => {
            const startedAt = cache.tick()
            return Effect.map(read, (found) => {
              serverVersionNum = found.serverVersionNum ?? serverVersionNum
              const missing = new Set(oids)
              for (const table of found.tables) {
                missing.delete(table.oid)
                cache.store(table, startedAt)
              }
              for (const oid of missing) cache.storeAbsence(oid, startedAt)
              return found.tables
            })
          })
        )

      const readOids = (oids: ReadonlyArray<number>) => fetch(describeByOid(database, oids), oids)

      const readName = (name: TableName) =>
        Effect.gen(function* () {
          const earlier = cache.byName(name)
          const [found] = yield* fetch(describeByName(database, name), [])
          // Somebody else has the name now, or nobody: what became of the table that had it?
          if (earlier !== undefined && earlier.oid !== found?.oid) yield* readOids([earlier.oid])
          return found
        })

      const readAll = (oids: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          for (let from = 0; from < oids.length; from += tablesPerQuery) {
            yield* readOids(oids.slice(from, from + tablesPerQuery))
          }
        })

      const share = yield* makeSingleFlight<TableInfo | undefined, PgError>()

      /** What is known without the database, from an earlier run if need be. */
      const recall = (memory: () => TableInfo | undefined) =>
        Effect.suspend(() => {
          const remembered = memory()
          if (remembered !== undefined) return Effect.succeed(remembered)
          return Effect.map(memoryOfBefore.tables, (tables) => {
            cache.restore(tables)
            return memory()
          })
        })

      const lookUp = (
        key: string,
        memory: () => TableInfo | undefined,
        read: Effect.Effect<TableInfo | undefined, PgError>
      ): Effect.Effect<TableInfo | undefined, PgError> =>
        Effect.suspend(() => {
          const known = memory()
          if (known !== undefined && cache.isFresh(known.oid)) return Effect.succeed(known)
          const asked = share(key, read).pipe(
            Effect.flatMap(({ value, joined }) =>
              // What was joined may have begun before the table was created.
              value === undefined && joined
                ? Effect.map(share(key, read), (again) => again.value)
                : Effect.succeed(value)
            ),
            Effect.catch((error) =>
              Effect.flatMap(recall(memory), (remembered) =>
                remembered === undefined ? Effect.fail(error) : Effect.succeed(remembered)
              )
            )
          )
          // The question goes on for whoever comes next.
          const impatient = Effect.andThen(
            Effect.sleep(patienceMillis),
            Effect.flatMap(recall(memory), (remembered) =>
              remembered === undefined ? Effect.never : Effect.succeed(remembered)
            )
          )
          return Effect.raceFirst(asked, impatient)
        })

      return Inspector.of({
        table: (schema, name) =>
          lookUp(
            JSON.stringify([schema, name]),
            () => cache.byName({ schema, name }),
            readName({ schema, name })
          ),
        tableNow: (schema, name) => {
          const read = share(JSON.stringify([schema, name]), readName({ schema, name }))
          return Effect.flatMap(read, ({ joined, value }) =>
            joined ? Effect.map(read, (again) => again.value) : Effect.succeed(value)
          ).pipe(Effect.timeoutOrElse({ duration: answerMillis, orElse: () => Effect.fail(noAnswer) }))
        },
        whyAbsent: (schema, name) => turns.withPermit(whyAbsent(database, { schema, name })),
        tableByOid: (oid) =>
          lookUp(
            String(oid),
            () => cache.byOid(oid),
            Effect.map(readOids([oid]), (found) => found[0])
          ),
        remembered: (schema, name) => cache.byName({ schema, name }),
        serverVersionNum: () => serverVersionNum,
        isFresh: (oid) => cache.isFresh(oid),
        all: () => cache.all(),
        restore: (tables) => cache.restore(tables),
        invalidate: (oid) => cache.invalidate(oid),
        readAgain: (oids) =>
          Effect.suspend(() => {
            for (const oid of oids) cache.invalidate(oid)
            return readAll(oids)
          }),
        refresh: Effect.gen(function* () {
          const changes: Array<TableChange> = []
          const stop = cache.listen((change) => changes.push(change))
          const oids = cache.all().map((table) => table.oid)
          return yield* readAll(oids).pipe(Effect.as(changes), Effect.ensuring(Effect.sync(stop)))
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

/** How long an answer is waited for when there is one from before. */
const patienceMillis = 1000
/** How long an answer is waited for when what is remembered must not do. */
const answerMillis = 2000
const noAnswer = ownPgError(
  "connection_timeout",
  `The catalogue gave no answer within ${answerMillis / 1000} s. The next request asks again.`
)
/** Keeps single statements short while tens of thousands of tables are compared. */
const tablesPerQuery = 500

/** Assumed until the database was asked: the latest that we know. */
const newestVersionNum = 180000
