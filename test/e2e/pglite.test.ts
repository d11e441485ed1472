import { PGlite } from "@electric-sql/pglite"
import { electricSync } from "@electric-sql/pglite-sync"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { differenceOfRows, selectRows, type TextRow } from "../../testing/postgres/Rows.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

const db = databaseForFile()
const openLocal = () => PGlite.create({ extensions: { electric: electricSync() } })
let service: TestService
let local: Awaited<ReturnType<typeof openLocal>>

beforeAll(async () => {
  ;[service, local] = await Promise.all([
    startService({
      database: db(),
      // Little is enough for several parts of a log, and for compaction.
      env: {
        BATON_JOURNAL_SEGMENT_BYTES: "40000",
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
        BATON_COMPACTION_MIN_SIZE: "4000",
        BATON_COMPACTION_GARBAGE: "50",
        ELECTRIC_CLEANUP_INTERVAL_MS: "200ms"
      }
    }),
    openLocal()
  ])
}, patient(60_000))
afterAll(async () => {
  await local.close()
  await service.dispose()
})
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(service.logs())
})

const create = async (...tables: ReadonlyArray<string>): Promise<void> => {
  for (const table of tables) {
    const sql = `CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL, t text)`
    await Promise.all([local.exec(sql), db().query(sql)])
    await db().query(`INSERT INTO ${table} SELECT g, 0, 'first' FROM generate_series(1, 40) g`)
  }
}

interface Following {
  /** Every request that was answered, and how. */
  readonly answers: Array<string>
  readonly errors: Array<unknown>
  readonly stop: () => void
  readonly isUpToDate: () => boolean
}

/** Follows tables as an application would. With a key it goes on where the last one with that key was. */
const follow = async (
  tables: ReadonlyArray<string>,
  { answersTakeMillis = 0, key = null }: { answersTakeMillis?: number; key?: string | null } = {}
): Promise<Following> => {
  const errors: Array<unknown> = []
  const answers: Array<string> = []
  const fetchClient: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (answersTakeMillis > 0)
      await sleep(answersTakeMillis, undefined, init?.signal == null ? {} : { signal: init.signal })
    const { search } = new URL(response.url)
    answers.push(`${search}: ${response.status}, ${[...response.headers.keys()].join(" ")}`)
    return response
  }
  const shapes = tables.map((table) => ({
    table,
    primaryKey: ["id"],
    shape: { url: `${service.url}/v1/shape`, params: { table }, fetchClient }
  }))
  const synced = await local.electric.syncShapesToTables({
    key,
    shapes: Object.fromEntries(shapes.map((one) => [one.table, one])),
    onError: (error) => void errors.push(error)
  })
  onTestFinished(() => synced.unsubscribe())
  return { answers, errors, stop: () => synced.unsubscribe(), isUpToDate: () => synced.isUpToDate }
}

const untilEqual = (table: string, { answers, errors }: Following): Promise<boolean> =>
  eventually(`the rows of ${table}`, async () => {
    const sql = `SELECT id::text, v::text, t FROM ${table}`
    const [wanted, { rows }] = await Promise.all([selectRows(db(), sql), local.query<TextRow>(sql)])
    const differs = differenceOfRows(wanted, rows)
    if (differs !== undefined) throw new Error(`${differs}\nAfter\n${answers.slice(-20).join("\n")}`)
    assert.deepStrictEqual(errors, [])
    return true
  })

describe("PGlite's sync", () => {
  it(
    "follows transactions that take several answers, however its looks for news fall in between",
    { timeout: patient(60_000) },
    async () => {
      await create("one", "other")
      // It looks 100 ms after each answer with rows, and gives the request up that waits then.
      const following = await follow(["one", "other"], { answersTakeMillis: 95 })
      for (const table of ["one", "other"]) await untilEqual(table, following)
      await db().query(
        `BEGIN;
         INSERT INTO one SELECT g, 1, repeat('o', 100) FROM generate_series(1001, 1900) g;
         INSERT INTO other SELECT g, 1, 'few' FROM generate_series(1001, 1003) g;
         UPDATE one SET v = v + 1;
         COMMIT`
      )
      for (const table of ["one", "other"]) await untilEqual(table, following)
      const parts = following.answers.filter((answer) => !answer.includes("electric-up-to-date"))
      assert.isAbove(parts.length, 5, "the transaction has several parts")
      // It has not stopped.
      await db().query("UPDATE one SET v = v + 1 WHERE id < 10; UPDATE other SET v = v + 1 WHERE id < 10")
      for (const table of ["one", "other"]) await untilEqual(table, following)
    }
  )

  it(
    "goes on where it was while logs are compacted, live and after it was away",
    { timeout: patient(60_000) },
    async () => {
      await create("busy", "away")
      const live = await follow(["busy"])
      const before = await follow(["away"], { key: "away" })
      await untilEqual("busy", live)
      await untilEqual("away", before)
      await eventually("the last position to be kept", before.isUpToDate)
      before.stop()
      for (let n = 0; n < 30; n++)
        for (const table of ["busy", "away"])
          await db().query(
            `BEGIN;
             UPDATE ${table} SET v = v + 1, t = 'again and again, ${n}';
             DELETE FROM ${table} WHERE id = ${1 + n};
             INSERT INTO ${table} VALUES (${100 + n}, 0, 'new');
             UPDATE ${table} SET id = id + 1000 WHERE id = ${99 + n};
             COMMIT`
          )
      for (const table of ["busy", "away"])
        await eventually(`the log of ${table} to be compacted`, async () => (await messagesOf(table)) < 200)
      const after = await follow(["away"], { key: "away" })
      await untilEqual("away", after)
      await untilEqual("busy", live)
      assert.isFalse([...live.answers, ...after.answers].some((answer) => answer.includes(": 409")))
      assert.isFalse(after.answers.some((answer) => answer.includes("offset=-1")))
    }
  )
})

/** So many a newcomer is given. */
const messagesOf = async (table: string): Promise<number> => {
  let count = 0
  let position: { offset: string; handle?: string } = { offset: "-1" }
  for (;;) {
    const { handle, isUpToDate, messages, offset } = await requestLog(service.url, { table }, position)
    count += messages.length
    if (isUpToDate) return count
    position = { offset: offset ?? "", handle: handle ?? "" }
  }
}
