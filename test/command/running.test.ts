import { createServer } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, beforeAll } from "vitest"
import { parseCommandLine } from "../../src/command/CommandLine.ts"
import { askRunning } from "../../src/command/running/AskRunning.ts"
import { serviceOf } from "../../src/command/running/OperatorClient.ts"
import { printShapes } from "../../src/command/running/PrintShapes.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

/** What the command prints, and its exit status. */
const asked = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const command = parseCommandLine(args, "1")
    if (command._tag !== "Ask") return assert.fail(JSON.stringify(command))
    let text = ""
    const say = (more: string) => (text += more)
    const status = yield* askRunning({
      ...command,
      environment,
      paint: (_, plain) => plain,
      width: 200,
      say,
      complain: say
    })
    return { status, text }
  })

describe("baton status and baton shapes", { timeout: 60_000 }, () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  )
  let service: TestService
  let handle = ""
  beforeAll(async () => {
    service = await startService({
      database: database(),
      env: { ELECTRIC_INSECURE: undefined, ELECTRIC_SECRET: "for people" }
    })
    const answer = await fetch(
      `${service.url}/v1/shape?table=items&where=id%3D1&offset=-1&secret=for%20people`
    )
    handle = answer.headers.get("electric-handle") ?? ""
  }, 60_000)
  afterAll(() => service?.dispose())

  const own = () => ({ ELECTRIC_PORT: String(service.port), ELECTRIC_SECRET: "for people" })

  it.live("shows instances, slot and faults of a running service, by its variables or by its URL", () =>
    Effect.gen(function* () {
      const { status, text } = yield* asked(["status"], own())
      assert.strictEqual(status, 0, text)
      assert.match(text, /\* active +\S+ +\d+\.\d+\.\d+/)
      assert.match(text, /slot +ok, .*electric_slot_/)
      assert.match(text, /rates +[\d.]+ transactions/)
      const json = yield* asked(["status", "--json", `--url=${service.url}/`, "--secret=for people"])
      assert.strictEqual((JSON.parse(json.text) as { readonly state: string }).state, "active")
    })
  )

  it.live("lists shapes, shows one and deletes it", () =>
    Effect.gen(function* () {
      const list = yield* asked(["shapes", "--search=ITEMS", "--sort=-bytes"], own())
      assert.match(list.text, new RegExp(`${handle} +public\\.items +indexed .* id *= *1`))
      assert.include((yield* asked(["shapes", "--search=nothing"], own())).text, "None of 1 shapes.")
      const shown = yield* asked(["shapes", "show", handle], own())
      assert.match(shown.text, /where +id *= *1\n/)
      const deleted = yield* asked(["shapes", "delete", handle], own())
      assert.deepStrictEqual([deleted.status, deleted.text.startsWith("Deleted.")], [0, true])
      const gone = yield* asked(["shapes", "show", handle], own())
      assert.strictEqual(gone.status, 1)
      assert.include(gone.text, "no shape of this handle")
      const wrong = yield* asked(["shapes", "--sort=beauty"], own())
      assert.include(wrong.text, "sort must be one of")
    })
  )

  it.live("says why there is no answer", () =>
    Effect.gen(function* () {
      const none = yield* asked(["status"], { ELECTRIC_PORT: String(service.port) })
      assert.deepStrictEqual([none.status, none.text.includes("wants a secret")], [1, true])
      const other = yield* asked(["status", "--secret=x"], { ELECTRIC_PORT: String(service.port) })
      assert.include(other.text, "wants another secret")
      const port = yield* Effect.promise(() => freePort())
      assert.include((yield* asked(["status"], { ELECTRIC_PORT: String(port) })).text, "Nothing listens at")
      const https = yield* asked(["status", `--url=https://localhost:${service.port}`])
      assert.include(https.text, "speaks no TLS")
    })
  )

  it.live("tells an API that is off from a program that is another one", () =>
    Effect.gen(function* () {
      let status = 404
      const server = createServer((_, response) => response.writeHead(status).end("<html>"))
      const port = yield* Effect.promise(() => freePort())
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => server.listen(port, resolve))),
        () => Effect.sync(() => server.close())
      )
      const url = [`--url=localhost:${port}`]
      assert.include((yield* asked(["status", ...url])).text, "BATON_DASHBOARD may be off")
      status = 200
      assert.include((yield* asked(["status", ...url])).text, "is no service of this kind")
    })
  )
})

describe("what is given to status and shapes", () => {
  it("finds the service", () => {
    assert.deepStrictEqual(serviceOf(undefined, undefined, {}), {
      url: "http://localhost:3000",
      secret: undefined
    })
    assert.deepStrictEqual(
      serviceOf(undefined, "given", { ELECTRIC_PORT: "1", ELECTRIC_SECRET: "s", BATON_TLS_CERT_FILE: "c" }),
      { url: "https://localhost:1", secret: "given" }
    )
    assert.strictEqual(serviceOf("host:80/sync/", "", {}).url, "http://host:80/sync")
  })

  it("refuses what has no meaning", () => {
    for (const [args, expected] of [
      [["shapes", "shw"], /Unknown argument "shw": list, show and delete are known/],
      [["shapes", "show"], /Which shape\?/],
      [["shapes", "show", "1", "2"], /Unknown argument "2"/],
      [["shapes", "delete", "1", "--search=x"], /--search is an option of the list/],
      [["status", "--url"], /--url needs a value/],
      [["status", "now"], /Unknown argument "now"/]
    ] as const) {
      const mistake = parseCommandLine(args, "1")
      assert.match(mistake._tag === "Mistake" ? mistake.message : "", expected)
    }
  })

  it("shows nothing that a terminal would obey, and lines that fit", () => {
    const shape = {
      handle: "1-2",
      table: "public.\u001b[31mred\n",
      where: `id = 1 OR ${"x".repeat(300)}`,
      columns: null,
      replica: "default",
      log: "full",
      evaluation: "evaluated",
      state: "ready",
      snapshotBytes: 2048,
      logBytes: 0,
      changes: 3,
      dirtyShare: 0,
      readers: 1,
      createdAt: "2026-01-01T00:00:00.000Z",
      lastReadAt: "2026-01-01T00:00:00.000Z",
      dormant: true,
      offset: "0_0"
    } as const
    const page = { total: 90, matching: 60, page: 1, limit: 1, shapes: [shape] }
    const text = printShapes(page, Date.parse("2026-01-01T00:05:00.000Z"), 100)
    assert.include(text, "public.?[31mred?")
    assert.include(text, "5 min ago")
    assert.include(text, "1 to 1 of 60, of 90 in all. --page=2 has more.")
    for (const line of text.split("\n")) assert.isAtMost(line.length, 100)
  })
})
