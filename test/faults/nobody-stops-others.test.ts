import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it, onTestFinished } from "vitest"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import type { TestService } from "../../testing/services/Service.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"

/** What everybody else is promised while a client does its worst, on a machine that has nothing else to do. */
const changeMillis = 1000
const healthMillis = 200
const maxRssMegabytes = 1000
/**
 * On a busy machine: as much more as it is busy, or so many times what it took before the first attack, or so many times
 * longer than the slowest answer, meanwhile, of a process that nobody asks for anything else.
 */
const timesFloor = 4
const timesBystander = 4

interface World {
  readonly database: TestDatabase
  /** The active instance. */
  readonly service: TestService
  /** Where the process answers that has nothing else to do. */
  readonly bystander: string
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
    name: "values that a condition makes without end",
    run: async (world, table) => {
      for (const where of [
        terms(150, (i) => `lpad(title,${66_000_000 + i},'ab')='x'`),
        "reverse(repeat(title, 20000000)) = 'x'",
        "title::char(10000000) = 'x'",
        "format('%900000000s', title) = 'x'",
        "array_length(array_fill(title, ARRAY[9000, 9000]), 1) = 5",
        terms(100, (i) => `lpad(title,${900_000 + i})='x'`)
      ]) {
        const response = await get(world, { table, where })
        assert.strictEqual(response.status, 400, where.slice(0, 100))
        assert.match(await response.text(), /BATON_MAX_CLAUSE_(?:VALUE|MEMORY)/)
        assert.strictEqual(await post(world, table, { subset: { where } }), 400)
      }
    }
  },
  {
    name: "values that it makes as large as the row says",
    run: async (world, table) => {
      await poisoned(
        terms(100, (i) => `lpad(title,${66_000_000 + i}*length(title),'ab')='x'`),
        "a row"
      )(world, table)
      await world.service.untilLogged(/Dropped .*BATON_MAX_CLAUSE_VALUE/)
    }
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
        for (let i = 0; i < 3; i++)
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
    name: "a condition that takes Postgres long, for every row",
    run: async (world, table) => {
      await poisoned("title = 'slow' AND factorial(id + 30000) > 5", "slow", 64)(world, table)
      await world.service.untilLogged(/Dropped .*BATON_MAX_DECISION_TIME/)
    }
  },
  {
    name: "many conditions that Postgres is asked about, and a large transaction",
    run: async (world, table) => {
      for (let i = 0; i < 40; i++) {
        const made = await get(world, { table, where: `to_tsvector('simple', title) @@ 'w${i}'` })
        assert.strictEqual(made.status, 200, await made.text())
      }
      await world.database.query(
        `INSERT INTO ${table} (title) SELECT 'w' || i % 40 || ' and more words' FROM generate_series(1, 20000) i`
      )
    }
  },
  {
    name: "a large row, and those who read it",
    run: async (world, table) => {
      const made = await get(world, { table })
      const handle = made.headers.get("electric-handle") ?? ""
      const offset = made.headers.get("electric-offset") ?? ""
      assert.strictEqual(made.status, 200, await made.text())
      await world.database.query(`INSERT INTO ${table} (title) SELECT repeat('x', 20000000)`)
      const read = async (): Promise<number> => {
        const response = await get(world, { table, handle, offset })
        const body = await response.arrayBuffer()
        return response.status === 200 ? body.byteLength : Number.NaN
      }
      await eventually("the large row", async () => (await read()) > 20_000_000)
      for (const bytes of await Promise.all(Array.from({ length: 20 }, read)))
        assert.isAbove(bytes, 20_000_000)
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

/** A process that answers requests and does nothing else: what it takes is the machine's doing. */
const bystander = async (): Promise<string> => {
  const source =
    'const s = require("node:http").createServer((q, r) => r.end("ok")).listen(0, "127.0.0.1", () => console.log(s.address().port))'
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] })
  onTestFinished(() => void child.kill("SIGKILL"))
  const [port] = (await once(child.stdout, "data")) as [Buffer]
  return `http://127.0.0.1:${String(port).trim()}`
}

/** The slowest answer until the signal. */
const slowestAnswer = async (url: string, stopped: AbortSignal): Promise<number> => {
  let slowest = 0
  while (!stopped.aborted) {
    const began = performance.now()
    await (await fetch(url)).arrayBuffer()
    slowest = Math.max(slowest, performance.now() - began)
    await sleep(25)
  }
  return slowest
}

/** Watches over what others get, until it is told to stop. */
const watch = (world: World, instances: ReadonlyArray<TestService>) => {
  const stopped = new AbortController()
  let slowestChange = 0
  let changes = 0
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
      changes++
      await sleep(50)
    }
  })()
  const health = instances.map(({ url }) => slowestAnswer(`${url}/v1/health`, stopped.signal))
  const watching = Promise.all([
    slowestAnswer(world.bystander, stopped.signal),
    Promise.all(health),
    changing
  ])
  // The test that stops it sees the failure; an attack that fails may end before.
  watching.catch(() => {})
  return {
    /** At least one change has come since the call. */
    another: () => {
      const before = changes
      return eventually("another change", () => changes > before + 1, 120_000)
    },
    stop: async () => {
      stopped.abort()
      const [alone, answers] = await watching
      return { change: slowestChange, health: Math.max(...answers), alone }
    }
  }
}

const peakMegabytes = ({ pid }: TestService): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

describe("whatever a client asks for", () => {
  it(
    "others get their changes, health is told, and memory is bounded, on both instances and after a restart",
    { timeout: patient(240_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(`
        CREATE TABLE good (id serial PRIMARY KEY, t text);
        ${attacks.map((_, i) => `CREATE TABLE poison${i} (id serial PRIMARY KEY, title text, doc jsonb);`).join("")}`)
      const storageDir = storageForTest()
      const alone = await bystander()
      const start = async () => {
        const env = { BATON_WAL_SENDER_TIMEOUT: "5s", BATON_HTTP_WORKERS: "0" }
        const service = await serviceForTest({ database, storageDir, env })
        const waiting = await serviceForTest({ database, storageDir, env, until: "waiting" })
        return { world: { database, service, bystander: alone }, instances: [service, waiting] }
      }
      const first = await start()
      const quiet = watch(first.world, first.instances)
      await quiet.another()
      await sleep(2000)
      const floor = await quiet.stop()
      const report: Array<string> = []
      onTestFinished(() => console.log(report.join("\n")))
      const check = (name: string, seen: typeof floor, instances: ReadonlyArray<TestService>): void => {
        const megabytes = Math.max(...instances.map(peakMegabytes))
        const shown = [seen.change, seen.health, seen.alone, megabytes].map(Math.round)
        report.push(`${name}: change, health, bystander ${shown.slice(0, 3).join(", ")} ms; ${shown[3]} MB`)
        const most = (millis: number, floorMillis: number) =>
          Math.max(patient(millis), timesFloor * floorMillis, millis + timesBystander * seen.alone)
        assert.isBelow(seen.change, most(changeMillis, floor.change), name)
        assert.isBelow(seen.health, most(healthMillis, floor.health), name)
        assert.isBelow(megabytes, maxRssMegabytes, name)
      }
      check("before", floor, first.instances)
      for (const [i, { name, run }] of attacks.entries()) {
        const others = watch(first.world, first.instances)
        await others.another()
        await run(first.world, `poison${i}`)
        await others.another()
        check(name, await others.stop(), first.instances)
      }
      // Whatever shapes are left have their conditions still, and the rows come again.
      for (const instance of first.instances) await instance.stop("SIGKILL")
      const second = await start()
      const others = watch(second.world, second.instances)
      await others.another()
      for (const i of attacks.keys()) await database.query(`UPDATE poison${i} SET id = id + 1000000`)
      await others.another()
      check("after a restart", await others.stop(), second.instances)
      for (const instance of second.instances) await instance.stop("SIGKILL")
    }
  )
})
