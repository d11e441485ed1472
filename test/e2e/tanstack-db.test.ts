import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import {
  and,
  BTreeIndex,
  createCollection,
  createLiveQueryCollection,
  eq,
  gt,
  gte,
  ilike,
  inArray,
  isNull,
  lt,
  not,
  or
} from "@tanstack/db"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { literals } from "../../testing/postgres/EveryType.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { createFilled, randomTransactions } from "../../testing/postgres/RandomTransactions.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile()
let service: TestService

beforeAll(async () => {
  service = await startService({ database: db() })
})
afterAll(() => service.dispose())
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

type Row = { id: number; v: number; amount: number | null; t: string | null; yes: boolean | null }

const syncModes = ["eager", "on-demand", "progressive"] as const
type SyncMode = (typeof syncModes)[number]

/** A collection as an application makes it; only the 64-bit key becomes a number rather than a BigInt. */
const collectionOf = (syncMode: SyncMode, liveSse: boolean, table: string) => {
  const errors: Array<unknown> = []
  const collection = createCollection(
    electricCollectionOptions<Row>({
      id: `${table} ${syncMode} ${liveSse}`,
      getKey: ({ id }) => id,
      syncMode,
      // Queries with a limit load as much as they show.
      autoIndex: "eager",
      defaultIndexType: BTreeIndex,
      shapeOptions: {
        url: `${service.url}/v1/shape`,
        params: { table },
        liveSse,
        parser: { int8: Number },
        onError: (error) => void errors.push(error)
      }
    })
  )
  onTestFinished(() => collection.cleanup())
  return { name: `${syncMode}, ${liveSse ? "event stream" : "long poll"}`, collection, errors }
}

type Source = ReturnType<typeof collectionOf>

/** Queries over a collection, and the same in SQL. */
const queriesOf = ({ collection }: Source, table: string) => {
  return [
    {
      sql: `SELECT * FROM ${table} WHERE amount >= 0 AND amount < 1000000 OR yes`,
      query: createLiveQueryCollection((q) =>
        q
          .from({ row: collection })
          .where(({ row }) => or(and(gte(row.amount, 0), lt(row.amount, 1_000_000)), eq(row.yes, true)))
      )
    },
    {
      sql: `SELECT * FROM ${table} WHERE amount IS NULL AND NOT v = 0`,
      query: createLiveQueryCollection((q) =>
        q.from({ row: collection }).where(({ row }) => and(isNull(row.amount), not(eq(row.v, 0))))
      )
    },
    {
      sql: `SELECT * FROM ${table} WHERE t ILIKE '%a%' AND id > 20`,
      query: createLiveQueryCollection((q) =>
        q.from({ row: collection }).where(({ row }) => and(ilike(row.t, "%a%"), gt(row.id, 20)))
      )
    },
    {
      sql: `SELECT * FROM ${table} WHERE v IN (1, 3)`,
      query: createLiveQueryCollection((q) =>
        q.from({ row: collection }).where(({ row }) => inArray(row.v, [1, 3]))
      )
    },
    {
      sql: `SELECT * FROM ${table} ORDER BY v DESC, id LIMIT 10`,
      query: createLiveQueryCollection((q) =>
        q
          .from({ row: collection })
          .orderBy(({ row }) => row.v, "desc")
          .orderBy(({ row }) => row.id)
          .limit(10)
      )
    }
  ]
}

const none = () => ""
const plain = ({ id, v, amount, t, yes }: Row): Row => ({ id: Number(id), v, amount, t, yes })
const byId = (rows: Iterable<Row>): ReadonlyArray<Row> =>
  Array.from(rows, plain).toSorted((a, b) => a.id - b.id)

const untilRows = (what: string, sql: string, found: () => Iterable<Row>) =>
  eventually(
    `${what}: ${sql}`,
    async () => {
      assert.deepStrictEqual(byId(found()), byId(await db().query<Row>(sql)))
      return true
    },
    20_000
  )

describe("collections of TanStack DB", () => {
  it(
    "in every sync mode and live mode: the rows of Postgres, before, while and after it changes",
    { timeout: patient(120_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const writer = await db().connect()
      const table = {
        name: "synced",
        columns: [
          { name: "amount", type: "int4", literal: literals["int4"] ?? none },
          { name: "t", type: "text", literal: literals["text"] ?? none },
          { name: "yes", type: "bool", literal: literals["bool"] ?? none }
        ]
      }
      const ids = await createFilled(writer, table, 300, random)
      const early = [false, true].flatMap((liveSse) =>
        syncModes.map((mode) => collectionOf(mode, liveSse, table.name))
      )
      const queries = early.map((source) => ({ ...source, queries: queriesOf(source, table.name) }))
      for (const each of queries)
        for (const { query } of each.queries) {
          // Without a subscriber a query is given up after five seconds.
          query.subscribeChanges(() => {})
          onTestFinished(() => query.cleanup())
        }
      try {
        // The first rows are loaded, by streams and subsets, while the table changes.
        const writing = randomTransactions(writer, table, 150, random, ids)
        for (const { name, queries: all } of queries) {
          // Queries of one progressive collection that show a row at different moments are more than it can bear.
          const first = name.startsWith("progressive") ? all.slice(0, 1) : all
          for (const { query } of first) query.startSyncImmediate()
        }
        for (const { name, collection, queries: all, errors } of queries) {
          await eventually(
            `${name} to be ready`,
            () => {
              if (all[0]?.query.status === "ready" && collection.isReady()) return true
              throw new Error(
                `it is ${collection.status}, its query ${all[0]?.query.status}, ${errors.join()}`
              )
            },
            30_000
          )
          for (const { query } of all) query.startSyncImmediate()
        }
        await writing
        await randomTransactions(writer, table, 150, random, ids)
        const compare = async () => {
          for (const { name, collection, queries: all, errors } of queries) {
            for (const { sql, query } of all) await untilRows(name, sql, () => query.toArray as Array<Row>)
            if (!name.startsWith("on-demand"))
              await untilRows(name, `SELECT * FROM ${table.name}`, () => collection.toArray as Array<Row>)
            assert.deepStrictEqual(errors, [], name)
          }
        }
        await compare()

        // Every mode sees the transactions it waits for, those that are in a snapshot or subset already included.
        const { rows } = await writer.query<{ txid: string }>(
          "WITH w AS (INSERT INTO synced (id, v, amount, yes) VALUES (1000000, 3, 5, true)) SELECT pg_current_xact_id()::xid::text AS txid"
        )
        for (const { collection } of queries) await collection.utils.awaitTxId(Number(rows[0]?.txid), 10_000)
        await compare()

        // A shape that ends: everything is loaded anew.
        await writer.query("TRUNCATE synced")
        await randomTransactions(writer, table, 40, random, ids.splice(0, ids.length).slice(0, 0))
        await compare()
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error })
      }
    }
  )
})
