import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import pino from "pino"
import { assert, describe, it, onTestFinished } from "vitest"
import { embed, type EmbeddedBaton, type EmbedOptions } from "../../src/Embed.ts"
import type { HostLogLine } from "../../src/telemetry/HostLogger.ts"
import { databaseForTest, roleForTest } from "../faults/support/faults.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"

const items = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)"

const embedded = async (
  database: TestDatabase,
  options: EmbedOptions,
  environment: Readonly<Record<string, string>> = {}
): Promise<EmbeddedBaton> => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-embed-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const baton = await embed({
    ...options,
    environment: {
      DATABASE_URL: database.url,
      ELECTRIC_REPLICATION_STREAM_ID: database.streamId,
      ELECTRIC_STORAGE_DIR: directory,
      ELECTRIC_INSECURE: "true",
      BATON_SHUTDOWN_GRACE: "1s",
      ...environment
    }
  })
  onTestFinished(baton.close)
  return baton
}

const ask = async (baton: EmbeddedBaton, target: string) => {
  const response = await baton.fetch(new Request(`http://app.example${target}`))
  return { status: response.status, text: await response.text() }
}
const health = (baton: EmbeddedBaton) => ask(baton, "/v1/health")

describe("an embedded instance", () => {
  it("has a page for operators where the program wants one, for whom it wants", async () => {
    const database = await databaseForTest()
    await database.query(items)
    const secret = { ELECTRIC_INSECURE: "false", ELECTRIC_SECRET: "s3cret" }
    const asked = async (options: EmbedOptions, environment: Readonly<Record<string, string>>) => {
      const baton = await embedded(database, { ...options, logger: () => {} }, environment)
      const statuses: Array<number> = []
      for (const target of ["/baton/api/status", "/baton/api/status?secret=s3cret"])
        statuses.push((await ask(baton, target)).status)
      const page = await baton.fetch(new Request("http://app.example/baton/?secret=s3cret"))
      if (statuses[1] === 200) assert.include(await page.text(), "<title>Baton</title>")
      await baton.close()
      return statuses
    }
    assert.deepStrictEqual(await asked({}, secret), [404, 404])
    assert.deepStrictEqual(await asked({ dashboard: true }, secret), [401, 200])
    assert.deepStrictEqual(await asked({ dashboard: true }, {}), [403, 403])
    assert.deepStrictEqual(await asked({ dashboard: "guardedByHost" }, {}), [200, 200])
  })

  it(
    "tells of what somebody has to mend, and goes on by itself once that is done",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      const role = await roleForTest(database, "SUPERUSER")
      await database.query(items)
      const states: Array<string> = []
      const failures: Array<string> = []
      const lines: Array<HostLogLine> = []
      const baton = await embedded(
        database,
        {
          logger: (line) => lines.push(line),
          onHealth: (state) => {
            states.push(state)
            assert.strictEqual(state, baton?.health() ?? state)
          },
          onFailure: ({ message }) => failures.push(message)
        },
        { DATABASE_URL: role.withPassword("other") }
      )
      const { message } = await baton.failed
      assert.match(message, /Login to .* failed/)
      assert.deepStrictEqual(failures, [message])
      assert.strictEqual(baton.health(), "failed")
      assert.deepStrictEqual(await health(baton), { status: 503, text: '{"status":"failed"}' })
      const said = () => lines.filter((line) => line.level === "error")
      await eventually("a second attempt", async () => {
        const [row] = await database.query<{ n: number }>("SELECT 1 AS n")
        return row?.n === 1 && states.includes("failed")
      })
      assert.match(
        said()[0]?.message ?? "",
        /Login to .* failed.*\/v1\/health says 503; it is tried again every 10 s/
      )

      await database.query(`ALTER ROLE ${role.name} PASSWORD 'other'`)
      await eventually("active", () => baton.health() === "active", 40_000)
      assert.strictEqual((await health(baton)).status, 200)
      assert.strictEqual((await ask(baton, "/v1/shape?table=items&offset=-1")).status, 200)
      assert.strictEqual(said().length, 1, "every attempt fails in the same way, which is said once")
      assert.strictEqual(failures.length, 1)
      assert.strictEqual(states[0], "starting")
      assert.strictEqual(states.at(-1), "active")
      assert.isBelow(states.indexOf("failed"), states.indexOf("active"))
      assert.deepStrictEqual(
        lines.filter((line) => /mended/.test(line.message)).map(({ level }) => level),
        ["info"]
      )
      await baton.close()
      assert.strictEqual(states.at(-1), "draining")
    }
  )

  it(
    "that waits for another one's lock has not failed, though it had",
    { timeout: patient(120_000) },
    async () => {
      const database = await databaseForTest()
      await database.query(items)
      const first = await embedded(database, { logger: () => {} })
      await eventually("active", () => first.health() === "active")
      const role = await roleForTest(database, "SUPERUSER")
      const second = await embedded(
        database,
        { logger: () => {} },
        { DATABASE_URL: role.withPassword("other") }
      )
      await second.failed
      await database.query(`ALTER ROLE ${role.name} PASSWORD 'other'`)
      await eventually("waiting", () => second.health() === "waiting", 40_000)
      assert.deepStrictEqual(await health(second), { status: 202, text: '{"status":"waiting"}' })
      await first.close()
      await eventually("active", () => second.health() === "active", 40_000)
    }
  )

  it("answers what is held before it ends", { timeout: patient(60_000) }, async () => {
    const database = await databaseForTest()
    await database.query(items)
    const grace = { BATON_SHUTDOWN_GRACE: "25s", ELECTRIC_LONG_POLL_TIMEOUT: "2000" }
    const baton = await embedded(database, { logger: () => {} }, grace)
    await eventually("active", () => baton.health() === "active")
    const target = "http://app.example/v1/shape?table=items"
    const first = await baton.fetch(new Request(`${target}&offset=-1`))
    await first.text()
    const live = `${target}&offset=0_inf&live=true&handle=${first.headers.get("electric-handle")}`
    const held = baton.fetch(new Request(live))
    await eventually("held", () => baton.fetch.running() === 1)
    await baton.close()
    const response = await held
    assert.strictEqual(response.status, 200)
    assert.include(await response.text(), "up-to-date")
    assert.strictEqual((await baton.fetch(new Request(live))).status, 503, "and nothing after that")
  })

  it("rejects with everything that is wrong in its configuration", async () => {
    const error = await embed({ environment: { ELECTRIC_PORT: "http" } }).then(
      () => assert.fail("it started"),
      (problem: unknown) => problem
    )
    assert.match(String(error), /ELECTRIC_PORT="http"/)
    const missing = await embed({ environment: { ELECTRIC_INSECURE: "true" } }).catch(String)
    assert.match(String(missing), /DATABASE_URL is not set/)
  })
})

describe("the log of an embedded instance", () => {
  const insecure = /every client that reaches the port of this service can read every table/

  it("goes to the program's own logger, with what belongs to a line, warnings of the configuration first", async () => {
    const database = await databaseForTest()
    const written: Array<Record<string, unknown>> = []
    const logger = pino(
      { level: "debug" },
      { write: (line: string) => written.push(JSON.parse(line) as never) }
    )
    const print = process.stdout.write
    const printed: Array<string> = []
    process.stdout.write = ((text: string) => printed.push(text) > 0) as typeof print
    try {
      const baton = await embedded(database, {
        logger,
        authorize: () => {
          throw new Error("of the host's database")
        }
      })
      await eventually("active", () => baton.health() === "active")
      assert.strictEqual((await ask(baton, "/v1/shape?table=items&offset=-1")).status, 500)
      await baton.close()
    } finally {
      process.stdout.write = print
    }
    assert.deepStrictEqual(printed, [])
    const messages = written.map(({ msg }) => String(msg))
    assert.include(messages, "Health: starting -> waiting (storageLoaded)")
    assert.notMatch(messages.join("\n"), insecure)
    const failed = written.find(({ msg }) =>
      String(msg).startsWith("The authorize hook of this program failed")
    )
    assert.strictEqual(failed?.["level"], 50)
    assert.match(String(failed?.["stack"]), /Error: of the host's database\n +at /)
  })

  it("warns of an open port only where no hook decides", async () => {
    const database = await databaseForTest()
    for (const [authorize, warns] of [
      [undefined, true],
      [({ shape }: { readonly shape: object }) => shape, false]
    ] as const) {
      const lines: Array<HostLogLine> = []
      const baton = await embedded(database, {
        logger: (line) => lines.push(line),
        ...(authorize === undefined ? {} : { authorize })
      })
      await baton.close()
      const warned = lines.filter(({ message }) => insecure.test(message))
      assert.deepStrictEqual(
        warned.map(({ level }) => level),
        warns ? ["warn"] : []
      )
      assert.instanceOf(lines[0]?.time, Date)
    }
  })

  it("and the program's functions may throw: that is said, and nothing else comes of it", async () => {
    const database = await databaseForTest()
    const warnings: Array<string> = []
    const onWarning = (warning: Error) => warnings.push(warning.message)
    process.on("warning", onWarning)
    onTestFinished(() => void process.off("warning", onWarning))
    const baton = await embedded(database, {
      logger: () => assert.fail("no room for logs"),
      onHealth: () => assert.fail("not now")
    })
    await eventually("active", () => baton.health() === "active")
    await eventually("the warning", () => warnings.length > 0)
    assert.match(warnings.join("\n"), /^The logger that was given to Baton failed, .*no room for logs$/)
  })
})
