import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it, onTestFinished } from "vitest"
import type { TestDatabase } from "../support/database.ts"
import { eventually } from "../support/eventually.ts"
import type { TestService } from "../support/service.ts"
import { ShapeLogReader } from "../support/shape-log.ts"
import { patient } from "../../scripts/support/Load.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"

/** What everybody else is promised while a client does its worst, on a machine that has nothing else to do. */
const changeMillis = 1000
const healthMillis = 200
const maxRssMegabytes = 1000
/** On a busy machine: as much more as it is busy, or so many times what it took before the first attack. */
const timesFloor = 4

interface World {
  readonly database: TestDatabase
  /** The active instance. */
  readonly service: TestService
}

interface Attack {
  readonly name: string
  /** `table` is its own: `id serial PRIMARY KEY, title text, doc jsonb`. */
  readonly run: (world: World, table: string) => Promise<void>
}

const get = async ({ service }: World, params: Readonly<Record<string, string>>): Promise<Response> =>
  fetch(`${service.url}/v1/shape?${new URLSearchParams({ offset: "-1", ...params })}`)

const post = async ({ service }: World, table: string, body: unknown): Promise<number> => {
  const response = await fetch(`${service.url}/v1/shape?table=${table}&offset=-1`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  await response.arrayBuffer()
  return response.status
}

const terms = (count: number, term: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => term(i)).join(" OR ")

/** A shape with this condition, then rows for it. */
const poisoned =
  (where: string, title: string, rows = 1) =>
  async (world: World, table: string): Promise<void> => {
    const made = await get(world, { table, where })
    assert.strictEqual(made.status, 200, await made.text())
    await world.database.query(`INSERT INTO ${table} (title) SELECT $1 FROM generate_series(1, $2::int)`, [
      title,
      rows
    ])
  }

const letters = (count: number): string => {
  let state = 12345
  let text = ""
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    text += state & 0x10000 ? "a" : "b"
  }
  return text
}

/** Each was able to take the service away from everybody else, or from one instance for a while. */
const attacks: ReadonlyArray<Attack> = [
  {
    name: "texts that a condition pads without end",
    run: poisoned(
      terms(150, (i) => `lpad(title,${66_000_000 + i},'ab')='x'`),
      "one ordinary row"
    )
  },
  {
    name: "texts that it repeats and reverses",
    run: poisoned("reverse(repeat(title, 20000000)) = 'x'", "abc")
  },
  {
    name: "texts that it takes apart",
    run: poisoned(
      `array_length(${Array.from({ length: 10 }, () => "string_to_array(repeat(title, 90000), NULL)").join(" || ")}, 1) > 1`,
      "some title"
    )
  },
  {
    name: "a regular expression with more states than the text has characters",
    run: poisoned("title ~ '(a|b)*a((a|b){200}){8}c'", letters(200_000))
  },
  {
    name: "a condition that costs a little too much, for every row of a large transaction",
    run: poisoned("reverse(repeat(title, 4000)) = 'x'", "just ten c", 10_000)
  },
  {
    name: "long chains of operators, which the parser has no stack for",
    run: async (world, table) => {
      for (const chain of ["||'a'", "->'a'", "::text"]) {
        for (let i = 0; i < 12; i++)
          assert.strictEqual(
            await post(world, table, {
              subset: { where: `title = 'a'${chain.repeat(Math.floor(60_000 / chain.length))}` }
            }),
            400
          )
      }
      const fresh = await get(world, {
        table,
        where: `title ~* 'new form' AND id < 5 OR title = 'x'`
      })
      assert.strictEqual(fresh.status, 200)
      await fresh.arrayBuffer()
      assert.strictEqual(await post(world, table, { subset: { order_by: "id" } }), 200)
    }
  },
  {
    name: "parameters that are larger than any condition may be",
    run: async (world, table) => {
      const deep = `[[[${"1,".repeat(1_000_000)}1]]]`
      const statuses = await Promise.all(
        Array.from({ length: 6 }, () =>
          post(world, table, { subset: { where: "doc @> $1", params: { "1": deep } } })
        )
      )
      assert.deepStrictEqual(new Set(statuses), new Set([400]))
      const numbers = `{${Array.from({ length: 300_000 }, (_, i) => i).join(",")}}`
      assert.strictEqual(
        await post(world, table, { subset: { where: "id = ANY($1)", params: { "1": numbers } } }),
        400
      )
    }
  },
  {
    name: "comments in comments, rows of signs, and many terms",
    run: async (world, table) => {
      for (const where of [
        `${"/*".repeat(14_000)}${"*/".repeat(14_000)} true`,
        `${"/**/".repeat(14_000)} true`,
        `id ${"+-".repeat(25_000)} 1 > 0`
      ])
        assert.strictEqual(await post(world, table, { subset: { where } }), 400)
    }
  }
]

/** Watches over what others get, until it is told to stop. */
const watch = (world: World, instances: ReadonlyArray<TestService>) => {
  const stopped = new AbortController()
  let slowestChange = 0
  let slowestHealth = 0
  let changes = 0
  const seen = new Map<number, number>()
  const reader = new ShapeLogReader({
    url: world.service.url,
    params: { table: "good" },
    retryMillis: 60_000
  })
  const changing = (async () => {
    await reader.readToEnd()
    while (!stopped.signal.aborted) {
      const [row] = await world.database.query<{ id: number }>("INSERT INTO good DEFAULT VALUES RETURNING id")
      const id = String(row?.id)
      const began = performance.now()
      await reader.followUntil(
        `row ${id} of another table`,
        () => Array.from(reader.rows.values()).some((one) => one["id"] === id),
        120_000
      )
      slowestChange = Math.max(slowestChange, performance.now() - began)
      seen.set(++changes, performance.now() - began)
      await sleep(50)
    }
  })()
  const health = instances.map(async ({ url }) => {
    while (!stopped.signal.aborted) {
      const began = performance.now()
      await (await fetch(`${url}/v1/health`)).arrayBuffer()
      slowestHealth = Math.max(slowestHealth, performance.now() - began)
      await sleep(25)
    }
  })
  const watching = Promise.all([changing, ...health])
  // Whoever stops it sees the failure; an attack that fails may end before.
  watching.catch(() => {})
  return {
    /** At least one change has come since the call. */
    another: () => {
      const before = changes
      return eventually("another change", () => changes > before + 1, 120_000)
    },
    stop: async () => {
      stopped.abort()
      await watching
      return { change: slowestChange, health: slowestHealth }
    }
  }
}

const peakMegabytes = ({ pid }: TestService): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

describe("whatever a client asks for", () => {
  it(
    "others get their changes, health is told, and memory is bounded, on both instances and after a restart",
    { timeout: 600_000 },
    async () => {
      const database = await databaseForTest()
      await database.query(`
        CREATE TABLE good (id serial PRIMARY KEY, t text);
        ${attacks.map((_, i) => `CREATE TABLE poison${i} (id serial PRIMARY KEY, title text, doc jsonb);`).join("")}`)
      const storageDir = storageForTest()
      const start = async () => {
        const env = { BATON_WAL_SENDER_TIMEOUT: "5s", BATON_HTTP_WORKERS: "0" }
        const service = await serviceForTest({ database, storageDir, env })
        const waiting = await serviceForTest({ database, storageDir, env, until: "waiting" })
        return { world: { database, service }, instances: [service, waiting] }
      }
      const first = await start()
      const quiet = watch(first.world, first.instances)
      await quiet.another()
      await sleep(2000)
      const floor = await quiet.stop()
      const mostChange = () => Math.max(patient(changeMillis), timesFloor * floor.change)
      const mostHealth = () => Math.max(patient(healthMillis), timesFloor * floor.health)
      const report: Array<string> = [
        `floor: change ${Math.round(floor.change)} ms, health ${Math.round(floor.health)} ms`
      ]
      onTestFinished(() => console.log(report.join("\n")))
      for (const [i, { name, run }] of attacks.entries()) {
        const others = watch(first.world, first.instances)
        await others.another()
        await run(first.world, `poison${i}`)
        await others.another()
        const { change, health } = await others.stop()
        const megabytes = Math.max(...first.instances.map(peakMegabytes))
        report.push(
          `${name}: change ${Math.round(change)} ms, health ${Math.round(health)} ms, ${Math.round(megabytes)} MB`
        )
        assert.isBelow(change, mostChange(), name)
        assert.isBelow(health, mostHealth(), name)
        assert.isBelow(megabytes, maxRssMegabytes, name)
      }
      // Whatever shapes are left have their conditions still, and the rows come again.
      for (const instance of first.instances) await instance.stop("SIGKILL")
      const second = await start()
      const others = watch(second.world, second.instances)
      await others.another()
      for (const i of attacks.keys()) await database.query(`UPDATE poison${i} SET id = id + 1000000`)
      await others.another()
      const { change, health } = await others.stop()
      report.push(`after a restart: change ${Math.round(change)} ms, health ${Math.round(health)} ms`)
      assert.isBelow(change, mostChange())
      assert.isBelow(health, mostHealth())
      for (const instance of second.instances) assert.isBelow(peakMegabytes(instance), maxRssMegabytes)
      for (const instance of second.instances) await instance.stop("SIGKILL")
      // Some functions of Postgres do not look up from their work when they are told to end.
      await eventually(
        "the end of the sessions",
        async () =>
          (
            await database.query(
              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
          ).length === 0,
        120_000
      )
    }
  )
})
