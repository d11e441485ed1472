import { Effect, Exit, type Scope, type Semaphore } from "effect"
import type { SingleFlight } from "../../shared/Coalesce.ts"
import { type Asked, Gather } from "../../shared/Gather.ts"
import type { Queryable } from "../connection/SessionPool.ts"
import { ownPgError, type PgError } from "../errors/PgError.ts"
import type { TableName } from "../Identifiers.ts"
import { describeByNames, describeByOid, type Descriptions } from "./DescribeTables.ts"
import type { RememberedSchema } from "./SchemaMemory.ts"
import type { TableCache } from "./TableCache.ts"
import type { TableInfo } from "./TableInfo.ts"

/** How long an answer is waited for when there is one from before. */
const patienceMillis = 1000
/** How long an answer is waited for when what is remembered must not do. */
const answerMillis = 2000
const noAnswer = ownPgError(
  "connection_timeout",
  `The catalogue gave no answer within ${answerMillis / 1000} s. The next request asks again.`
)
/** Keeps single statements, and the reading of their answers, short while tens of thousands of tables are compared. */
const tablesPerQuery = 200

/** Assumed until the database was asked: the latest that we know. */
const newestVersionNum = 180000

interface LookUpServices {
  readonly database: Queryable
  readonly cache: TableCache
  /** What the active instance before this one knew. */
  readonly before: RememberedSchema
  /** A look-up has one of these while it asks the database. */
  readonly turns: Semaphore.Semaphore
  readonly share: SingleFlight<TableInfo | undefined, PgError>
  /** Questions belong to it. */
  readonly scope: Scope.Scope
}

/** Questions to the catalogue, whose answers are remembered, and questions that are answered from memory where that will do. */
export class TableLookUps {
  serverVersionNum = newestVersionNum
  private readonly services: LookUpServices
  /** What is asked about at the same time is asked with one question. */
  private readonly names: Gather<TableName, TableInfo | undefined, PgError>
  private readonly oids: Gather<number, TableInfo | undefined, PgError>

  constructor(services: LookUpServices) {
    this.services = services
    const { database, scope } = services
    this.names = new Gather(scope, tablesPerQuery, (asked) =>
      this.askTogether(
        asked,
        (names) => this.fetch(describeByNames(database, names), []),
        ({ name, schema }, table) => name === table.name && schema === table.schema
      )
    )
    this.oids = new Gather(scope, tablesPerQuery, (asked) =>
      this.askTogether(
        asked,
        (oids) => this.readOids(oids),
        (oid, table) => oid === table.oid
      )
    )
  }

  /** The table of that name, from memory unless that is in question. */
  byName(name: TableName): Effect.Effect<TableInfo | undefined, PgError> {
    return this.lookUp(nameKey(name), () => this.services.cache.byName(name), this.readName(name))
  }

  byOid(oid: number): Effect.Effect<TableInfo | undefined, PgError> {
    return this.lookUp(String(oid), () => this.services.cache.byOid(oid), this.oids.ask(oid))
  }

  /** What the catalogue says from now on; fails after two seconds. */
  now(name: TableName): Effect.Effect<TableInfo | undefined, PgError> {
    const read = this.services.share.join(nameKey(name), this.readName(name))
    return Effect.flatMap(read, ({ joined, value }) =>
      joined ? Effect.map(read, (again) => again.value) : Effect.succeed(value)
    ).pipe(Effect.timeoutOrElse({ duration: answerMillis, orElse: () => Effect.fail(noAnswer) }))
  }

  /** Reads these tables, whatever is remembered of them. */
  readAll(oids: ReadonlyArray<number>): Effect.Effect<void, PgError> {
    return Effect.gen({ self: this }, function* () {
      for (let from = 0; from < oids.length; from += tablesPerQuery) {
        yield* this.readOids(oids.slice(from, from + tablesPerQuery))
      }
    })
  }

  private readOids(oids: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<TableInfo>, PgError> {
    return this.fetch(describeByOid(this.services.database, oids), oids)
  }

  private readName(name: TableName): Effect.Effect<TableInfo | undefined, PgError> {
    const { cache } = this.services
    return Effect.gen({ self: this }, function* () {
      const earlier = cache.byName(name)
      const found = yield* this.names.ask(name)
      // Somebody else has the name now, or nobody: what became of the table that had it?
      if (earlier !== undefined && earlier.oid !== found?.oid) yield* this.readOids([earlier.oid])
      return found
    })
  }

  /** One that the database cannot answer, such as a name that it cannot hold, takes nobody along. */
  private askTogether<I>(
    asked: ReadonlyArray<Asked<I, TableInfo | undefined, PgError>>,
    read: (inputs: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<TableInfo>, PgError>,
    isAnswer: (input: I, table: TableInfo) => boolean
  ): Effect.Effect<void, PgError> {
    const all = Effect.map(read(asked.map(({ input }) => input)), (found) => {
      for (const { done, input } of asked) done(Exit.succeed(found.find((table) => isAnswer(input, table))))
    })
    if (asked.length === 1) return all
    return Effect.catchIf(
      all,
      ({ code }) => code !== undefined,
      () =>
        Effect.forEach(
          asked,
          ({ done, input }) => Effect.map(Effect.exit(Effect.map(read([input]), ([found]) => found)), done),
          { discard: true }
        )
    )
  }

  /** Remembers all tables that were found; the OIDs that were looked for and are not there have vanished. */
  private fetch(
    read: Effect.Effect<Descriptions, PgError>,
    oids: ReadonlyArray<number>
  ): Effect.Effect<ReadonlyArray<TableInfo>, PgError> {
    const { cache, turns } = this.services
    return turns.withPermit(
      Effect.suspend(() => {
        const startedAt = cache.tick()
        return Effect.map(read, (found) => {
          this.serverVersionNum = found.serverVersionNum ?? this.serverVersionNum
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
  }

  /** What is known without the database, from an earlier run if need be. */
  private recall(memory: () => TableInfo | undefined): Effect.Effect<TableInfo | undefined> {
    const { before, cache } = this.services
    return Effect.suspend(() => {
      const remembered = memory()
      if (remembered !== undefined) return Effect.succeed(remembered)
      return Effect.map(before.tables, (tables) => {
        cache.restore(tables)
        return memory()
      })
    })
  }

  private lookUp(
    key: string,
    memory: () => TableInfo | undefined,
    read: Effect.Effect<TableInfo | undefined, PgError>
  ): Effect.Effect<TableInfo | undefined, PgError> {
    const { cache, share } = this.services
    return Effect.suspend(() => {
      const known = memory()
      if (known !== undefined && cache.isFresh(known.oid)) return Effect.succeed(known)
      const asked = share.join(key, read).pipe(
        Effect.flatMap(({ value, joined }) =>
          // What was joined may have begun before the table was created.
          value === undefined && joined
            ? Effect.map(share.join(key, read), (again) => again.value)
            : Effect.succeed(value)
        ),
        Effect.catch((error) =>
          Effect.flatMap(this.recall(memory), (remembered) =>
            remembered === undefined ? Effect.fail(error) : Effect.succeed(remembered)
          )
        )
      )
      // The question goes on for the next caller.
      const impatient = Effect.andThen(
        Effect.sleep(patienceMillis),
        Effect.flatMap(this.recall(memory), (remembered) =>
          remembered === undefined ? Effect.never : Effect.succeed(remembered)
        )
      )
      return Effect.raceFirst(asked, impatient)
    })
  }
}

const nameKey = ({ schema, name }: TableName): string => JSON.stringify([schema, name])
