import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection } from "@tanstack/db"
import { assert, describe, it, onTestFinished } from "vitest"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { syncShape } from "../../testing/readers/Client.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const db = databaseForFile()

/** So that little is enough for files of a log, and these are compacted at once. */
const eager = {
  BATON_JOURNAL_SEGMENT_BYTES: "40000",
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
  BATON_COMPACTION_MIN_SIZE: "4000",
  BATON_COMPACTION_GARBAGE: "50",
  ELECTRIC_CLEANUP_INTERVAL_MS: "200ms"
}

const storageOfTest = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "baton-compaction-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

type Values = Readonly<Record<string, string | null>>

/** A client that stops somewhere, and goes on from there when it is told to. */
class Traveller {
  readonly handle: string | undefined
  readonly offset: string
  readonly rows: ReadonlyMap<string, Values>
  readonly messages: number

  constructor(offset = "-1", handle?: string, rows: ReadonlyMap<string, Values> = new Map(), messages = 0) {
    this.offset = offset
    this.handle = handle
    this.rows = rows
    this.messages = messages
  }

  /** After one more answer; every message has to fit to the rows that it has. `undefined` at the end. */
  async step(
    url: string,
    table: string
  ): Promise<{ readonly next: Traveller; readonly isUpToDate: boolean }> {
    const { handle, messages, offset } = this
    const answer = await requestLog(url, { table }, { offset, ...(handle === undefined ? {} : { handle }) })
    assert.strictEqual(answer.status, 200, `${answer.request.href}: ${answer.body}`)
    const rows = new Map(this.rows)
    for (const { headers, key, value } of answer.messages) {
      if (key === undefined) continue
      const known = rows.get(key)
      if (headers.operation === "insert") assert.isUndefined(known, `an insert of ${key}, behind ${offset}`)
      if (headers.operation === "update") assert.isDefined(known, `an update of ${key}, behind ${offset}`)
      if (headers.operation === "delete") rows.delete(key)
      else rows.set(key, { ...known, ...(value as Values) })
    }
    const next = new Traveller(
      answer.offset ?? "",
      answer.handle ?? undefined,
      rows,
      messages + answer.messages.filter(({ key }) => key !== undefined).length
    )
    return { next, isUpToDate: answer.isUpToDate }
  }

  async toTheEnd(url: string, table: string): Promise<Traveller> {
    let { isUpToDate, next } = await this.step(url, table)
    while (!isUpToDate) ({ isUpToDate, next } = await next.step(url, table))
    return next
  }
}

/** Some transactions: updates of few rows again and again, and a queue. */
const writeSome = async (random: Random, table: string): Promise<void> => {
  for (let i = 0; i < 6; i++) {
    await db().query(
      `UPDATE ${table} SET v = v + 1, t = repeat('${random.pick(["a", "b", "c"])}', 40) WHERE id % 7 = ${random.int(0, 6)}`
    )
    await db().query(`UPDATE ${table} SET yes = NOT yes WHERE id = 1`)
    await db().query(`INSERT INTO ${table} SELECT g, 0, 'new', true FROM generate_series(1000, 1060) g`)
    await db().query(`UPDATE ${table} SET v = 5 WHERE id = ${random.int(1000, 1060)}`)
    await db().query(`DELETE FROM ${table} WHERE id >= 1000 AND id <> ${random.int(1000, 1060)}`)
    await db().query(`UPDATE ${table} SET id = id + 5000 WHERE id BETWEEN 1000 AND 1999`)
    await db().query(`DELETE FROM ${table} WHERE id > 5000`)
  }
}

const create = (table: string) =>
  db().query(
    `CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL, t text, yes bool);
     INSERT INTO ${table} SELECT g, 0, 'first', true FROM generate_series(1, 40) g`
  )

const wanted = async (table: string): Promise<ReadonlyArray<string>> => {
  const rows = await db().queryText(`SELECT id, v, t, yes FROM ${table} ORDER BY id`)
  return rows.map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))))
}

const found = ({ rows }: Traveller): ReadonlyArray<string> =>
  [...rows.values()]
    .toSorted((a, b) => Number(a["id"]) - Number(b["id"]))
    .map((row) =>
      JSON.stringify(
        Object.entries(row)
          .map(([name, value]) => [name, name === "yes" && value !== null ? value[0] : value])
          .toSorted(([a], [b]) => ((a ?? "") < (b ?? "") ? -1 : 1))
      )
    )

const untilEqual = (what: string, service: () => TestService, from: Traveller, table: string) =>
  eventually(what, async () => {
    assert.deepStrictEqual(found(await from.toTheEnd(service().url, table)), await wanted(table))
    return true
  })

describe("a service that compacts logs", () => {
  it(
    "gives newcomers the rows, and lets everybody go on from where he was, across kills",
    { timeout: patient(180_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const table = "busy"
      await create(table)
      const storageDir = storageOfTest()
      let service = await startService({ database: db(), env: eager, storageDir })
      const { port } = service
      onTestFinished(() => service.dispose())
      const client = syncShape({ url: service.url, params: { table } })
      const events = syncShape({ url: service.url, params: { table }, liveSse: true })
      const collection = createCollection(
        electricCollectionOptions<{ id: number; v: number; t: string | null; yes: boolean | null }>({
          id: "busy",
          getKey: ({ id }) => id,
          shapeOptions: { url: `${service.url}/v1/shape`, params: { table } }
        })
      )
      collection.startSyncImmediate()
      onTestFinished(() => {
        client.stop()
        events.stop()
        return collection.cleanup()
      })
      const stopped: Array<Traveller> = [
        await new Traveller().step(service.url, table).then(({ next }) => next)
      ]
      for (let round = 0; round < 5; round++) {
        await writeSome(random, table)
        let at = random.pick(stopped)
        for (let steps = 0; steps < 6; steps++) {
          const { isUpToDate, next } = await at.step(service.url, table)
          at = next
          stopped.push(next)
          if (isUpToDate) break
        }
        if (round === 2) {
          await service.stop("SIGKILL")
          service = await startService({ database: db(), env: eager, storageDir, port })
        }
      }
      const rows = (await wanted(table)).length
      await eventually(
        "few messages for a newcomer",
        async () => {
          const newcomer = await new Traveller().toTheEnd(service.url, table)
          assert.deepStrictEqual(found(newcomer), await wanted(table))
          assert.isAtMost(newcomer.messages, rows + 100)
          return true
        },
        30_000
      )
      for (const traveller of stopped)
        await untilEqual(`rows behind ${traveller.offset}, seed ${seed}`, () => service, traveller, table)
      const sql = `SELECT * FROM ${table}`
      await client.untilEqual(db(), sql)
      await events.untilEqual(db(), sql)
      await eventually("the collection's rows", () => {
        assert.strictEqual(collection.size, rows)
        return true
      })
      assert.strictEqual(client.refetches() + events.refetches(), 0)
      assert.deepStrictEqual([...client.errors, ...events.errors], [])
    }
  )

  it(
    "tells whoever was away for longer than the log is kept to start over, by another name, and nobody else",
    { timeout: patient(120_000) },
    async () => {
      const random = makeRandom(freshSeed())
      const table = "away"
      await create(table)
      const env = { ...eager, BATON_LOG_RETENTION: "1s", BATON_LOG_RETENTION_SIZE: "50" }
      await using service = await startService({ database: db(), env })
      const client = syncShape({ url: service.url, params: { table } })
      onTestFinished(() => client.stop())
      const first = await new Traveller().toTheEnd(service.url, table)
      const { handle = "" } = first
      const ask = (position: { readonly offset: string; readonly handle?: string }, more = {}) =>
        requestLog(service.url, { table, ...more }, position)
      await eventually(
        "the end of what is kept",
        async () => {
          await writeSome(random, table)
          return (await ask({ offset: first.offset, handle })).status === 409
        },
        60_000
      )
      const refused = await ask({ offset: first.offset, handle })
      const alias = refused.handle ?? ""
      assert.strictEqual(alias, `${handle}.1`)
      // By that name the shape is the same, and it is kept as long as the client uses it.
      const again = await ask({ offset: "-1", handle: alias }, { expired_handle: handle })
      assert.deepStrictEqual([again.status, again.handle], [200, alias])
      const further = await ask({ offset: again.offset ?? "", handle: alias })
      assert.deepStrictEqual([further.status, further.handle], [200, alias])
      assert.strictEqual((await ask({ offset: "-1" }, { expired_handle: handle })).handle, alias)
      assert.strictEqual((await ask({ offset: "-1" }, { expired_handle: alias })).handle, `${handle}.2`)
      assert.strictEqual((await ask({ offset: "-1" })).handle, handle)
      assert.strictEqual((await ask({ offset: first.offset, handle: alias })).handle, `${handle}.2`)
      // The official client, which comes back after all that.
      const late = syncShape({ url: service.url, params: { table } })
      onTestFinished(() => late.stop())
      await late.untilEqual(db(), `SELECT * FROM ${table}`)
      await client.untilEqual(db(), `SELECT * FROM ${table}`)
      assert.deepStrictEqual([client.refetches(), client.errors], [0, []])
    }
  )

  it(
    "gives newcomers little where little is left of a large table",
    { timeout: patient(120_000) },
    async () => {
      const table = "shrunk"
      await create(table)
      await db().query(
        `INSERT INTO ${table} SELECT g, 0, repeat('x', 300), true FROM generate_series(41, 400) g`
      )
      const env = { ...eager, BATON_LOG_RETENTION: "1s" }
      await using service = await startService({ database: db(), env })
      const newcomer = () => new Traveller().toTheEnd(service.url, table)
      await newcomer()
      await db().query(`UPDATE ${table} SET t = repeat('y', 300); UPDATE ${table} SET t = repeat('z', 300)`)
      await eventually("a base of all rows", async () => (await newcomer()).messages === 400)
      await db().query(`DELETE FROM ${table} WHERE id > 5`)
      await eventually("a base of what is left", async () => (await newcomer()).messages === 5)
      assert.deepStrictEqual(found(await newcomer()), await wanted(table))
    }
  )

  it(
    "does so for waiting instances, workers, whoever takes over, and an empty disk beside a bucket",
    { timeout: patient(240_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const table = "shared"
      await create(table)
      const env = { ...eager, BATON_BUCKET: `file://${storageOfTest()}`, BATON_HTTP_WORKERS: "2" }
      await using first = await startService({ database: db(), env })
      await using second = await startService({ database: db(), env, until: "waiting" })
      const begun = await new Traveller().step(first.url, table)
      const stopped: Array<Traveller> = [begun.next]
      for (let round = 0; round < 4; round++) {
        await writeSome(random, table)
        let at = random.pick(stopped)
        for (let steps = 0; steps < 6; steps++) {
          const { isUpToDate, next } = await at.step(first.url, table)
          at = next
          stopped.push(next)
          if (isUpToDate) break
        }
      }
      const rows = (await wanted(table)).length
      const untilFew = (what: string, service: TestService) =>
        eventually(
          `few messages for a newcomer of ${what}`,
          async () => {
            const newcomer = await new Traveller().toTheEnd(service.url, table)
            assert.deepStrictEqual(found(newcomer), await wanted(table))
            assert.strictEqual(newcomer.handle, begun.next.handle)
            assert.isAtMost(newcomer.messages, rows + 100)
            return true
          },
          60_000
        )
      const untilAll = async (what: string, service: TestService) => {
        for (const traveller of stopped)
          await untilEqual(
            `rows of ${what} behind ${traveller.offset}, seed ${seed}`,
            () => service,
            traveller,
            table
          )
      }
      await untilFew("the writer's", first)
      await untilFew("one that waits", second)
      await untilAll("one that waits", second)
      first.signal("SIGKILL")
      await second.until("active")
      await writeSome(random, table)
      await untilFew("the next writer's", second)
      await untilAll("the next writer's", second)
      await second.stop()
      // Nothing of it is on this disk.
      await using third = await startService({ database: db(), env })
      await untilFew("one that began with the bucket", third)
      await untilAll("one that began with the bucket", third)
      for (const { logs } of [first, second, third]) assert.notMatch(logs(), /damaged|dropped|compacted/)
    }
  )
})
