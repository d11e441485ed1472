import { existsSync, readdirSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { freePort } from "../../src/dev/FreePort.ts"
import { demoData } from "../../src/dev/DemoData.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { type Consumer, examplesOf, installPackage, root, runToEnd } from "./consumer.ts"

const db = databaseForFile((database) => database.query(demoData))
// Those for Next.js are run by `scripts/check-next.ts`.
const examples = examplesOf("docs/library.md").filter(({ file }) => /^[\w-]+\.ts$/.test(file))
const exampleServers = ["effect-server", "express"].map((name) => ({
  file: `example-${name}.ts`,
  code: readFileSync(path.join(root, "examples", name, "server.ts"), "utf8")
}))
/** What the programs in the documents use beside this package. */
const frameworks = [
  "express",
  "@types/express",
  "cors",
  "@types/cors",
  "fastify",
  "@fastify/cors",
  "hono",
  "@hono/node-server"
]
let consumer: Consumer

beforeAll(async () => {
  consumer = await installPackage(frameworks)
  for (const { code, file } of [...examples, ...exampleServers])
    await writeFile(path.join(consumer.directory, file), code)
})
afterAll(() => consumer.dispose())

/** What a careful consumer has, type stripping included. */
const tsconfig = (files: ReadonlyArray<string>) => ({
  compilerOptions: {
    target: "ES2024",
    lib: ["ES2024"],
    module: "NodeNext",
    types: ["node"],
    typeRoots: [path.join(root, "node_modules/@types")],
    strict: true,
    exactOptionalPropertyTypes: true,
    noPropertyAccessFromIndexSignature: true,
    skipLibCheck: true,
    noEmit: true
  },
  files
})

const typeCheck = async (name: string, files: ReadonlyArray<string>) => {
  const project = path.join(consumer.directory, name)
  await writeFile(project, JSON.stringify(tsconfig(files)))
  return runToEnd(path.join(root, "node_modules/.bin/tsc"), ["-p", project], { cwd: consumer.directory })
}

describe("the published package", () => {
  it("holds what has been built and the documents, no sources and no tests", () => {
    const files = readdirSync(consumer.packed).toSorted()
    assert.deepStrictEqual(files, ["LICENSE", "README.md", "dashboard", "dist", "package.json"])
    const dist = readdirSync(path.join(consumer.packed, "dist"), { recursive: true }).map(String)
    assert.include(dist, "index.js")
    const sources = dist.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    assert.deepStrictEqual(sources, [])
  })

  it("has a name of its own, which all documents use, and `baton` as its command", () => {
    const { bin, name } = JSON.parse(readFileSync(path.join(consumer.packed, "package.json"), "utf8")) as {
      readonly bin: object
      readonly name: string
    }
    assert.strictEqual(name, "pgbaton")
    assert.deepStrictEqual(Object.keys(bin), ["baton"])
    const documents = ["docs", "examples"].flatMap((folder) =>
      readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" }).map((found) =>
        path.join(folder, found)
      )
    )
    for (const file of ["README.md", ...documents.filter((document) => /\.(md|tsx?)$/.test(document))]) {
      const text = readFileSync(path.join(root, file), "utf8")
      assert.notMatch(text, /\b(from|import|require\() ?"baton["/]|npm (install|i) baton\b/, file)
    }
  })

  it("leaves effect to the program that uses it, so that there is one copy", () => {
    const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
      readFileSync(path.join(consumer.packed, "package.json"), "utf8")
    ) as Readonly<
      Record<"dependencies" | "peerDependencies" | "peerDependenciesMeta", Readonly<Record<string, unknown>>>
    >
    assert.notProperty(dependencies, "effect")
    assert.deepStrictEqual(Object.keys(peerDependencies), ["@aws-sdk/credential-providers", "effect"])
    assert.deepStrictEqual(peerDependenciesMeta, { "@aws-sdk/credential-providers": { optional: true } })
    const resolved = createRequire(path.join(consumer.packed, "dist/index.js")).resolve("effect")
    assert.strictEqual(resolved, createRequire(path.join(consumer.directory, "index.js")).resolve("effect"))
  })

  it("has types for a program that composes its layers, and for all examples, and they find a mistake", async () => {
    assert.isAtLeast(examples.length, 3)
    await writeFile(path.join(consumer.directory, "composition.ts"), composition)
    await writeFile(path.join(consumer.directory, "mistake.ts"), mistake)
    const { output } = await typeCheck("tsconfig.json", [
      "composition.ts",
      ...[...examples, ...exampleServers].map(({ file }) => file),
      "mistake.ts"
    ])
    // What belongs to an error stands below it, indented.
    const errors = output.split("\n").filter((line) => /^\S/.test(line))
    assert.isTrue(
      errors.every((line) => line.startsWith("mistake.ts")),
      output
    )
    assert.match(output, /mistake\.ts\(3,.*'number' is not assignable to type 'string'/)
    assert.match(output, /mistake\.ts\(4,[^]*'number'[^]*'AuthorizedShape'/)
  })

  it("brings all declarations that its own ones need: nothing is wrong where they are checked, too", async () => {
    await writeFile(path.join(consumer.directory, "composition.ts"), composition)
    const project = path.join(consumer.directory, "tsconfig.strict.json")
    const { typeRoots: _, ...options } = tsconfig([]).compilerOptions
    const compilerOptions = {
      ...options,
      skipLibCheck: false,
      noUncheckedIndexedAccess: true,
      // For Effect's own declarations.
      lib: ["ES2024", "DOM", "DOM.Iterable"]
    }
    await writeFile(project, JSON.stringify({ compilerOptions, files: ["composition.ts"] }))
    const tsc = path.join(root, "node_modules/.bin/tsc")
    const { output } = await runToEnd(tsc, ["-p", project], { cwd: consumer.directory })
    assert.strictEqual(output, "")
  })
})

/**
 * Replaces a service, and puts all of them together by hand: nothing but the configuration is left to provide. What each
 * layer needs is what docs/library.md says.
 */
const composition = `
import { Effect, Layer } from "effect"
import {
  AdminPool, Baton, Catalogue, catalogueLayer, Conditions, conditionsLayer, Config, CurrentSession, HealthRef, HttpServer,
  Inspector, Instance, LockService, Logs, MetricsServer, Publication, ReplicationStream, schemaMemoryLayer, SessionServices,
  ShapeApi, ShapeLogs, ShapeRegistry, SnapshotSessions, Snapshotter, Storage, SubsetReader, Verifier, Warmth, HttpWorkers,
  makeNodeHandler, shapeLogsLayer, shapeRegistryLayer, type BatonConfig, type ShapeHandle
} from "pgbaton"

const followed: ShapeLogs["Service"]["byHandle"] = (handle): ShapeHandle | undefined => undefined
export const own = {
  health: HealthRef.layer satisfies Layer.Layer<HealthRef>,
  inspector: Inspector.layer satisfies Layer.Layer<Inspector, never, AdminPool>,
  catalogue: catalogueLayer satisfies Layer.Layer<Catalogue, never, AdminPool>,
  conditions: conditionsLayer satisfies Layer.Layer<Conditions, never, Catalogue | Config>,
  publication: Publication.layer satisfies Layer.Layer<Publication, never, Config | AdminPool | Inspector>,
  lock: LockService.layer satisfies Layer.Layer<LockService, never, Config | AdminPool>,
  stream: ReplicationStream.layer satisfies Layer.Layer<ReplicationStream, never, Config | AdminPool>,
  snapshots: Snapshotter.layer satisfies Layer.Layer<Snapshotter, never, Config | SnapshotSessions>,
  subsets: SubsetReader.layer satisfies Layer.Layer<SubsetReader, never, Config | SnapshotSessions | Storage>,
  storage: Storage.layer satisfies Layer.Layer<Storage, unknown, Config>,
  logs: shapeLogsLayer satisfies Layer.Layer<ShapeLogs, never, Storage>,
  registry: shapeRegistryLayer satisfies Layer.Layer<ShapeRegistry, never, Storage | CurrentSession>
}
const noLock = Layer.succeed(LockService, { acquire: () => Effect.void })
const replaced: Layer.Layer<ShapeApi | Instance, unknown, Config> = Baton.layer({ parts: noLock })
const handler = Effect.scoped(makeNodeHandler({ sendTimeoutMillis: 1000 })).pipe(Effect.provide(Baton.layer()))
const needs: Effect.Effect<unknown, unknown, Config> = handler
const whole: Layer.Layer<HttpServer | ShapeApi | Instance, unknown, Config> = Baton.layerServer
const configured = (config: BatonConfig) => whole.pipe(Layer.provide(Layer.succeed(Config, config)))
const byHand: Layer.Layer<ShapeApi | Instance, unknown, Config> = Layer.mergeAll(ShapeApi.layer(), Instance.layer).pipe(
  Layer.provide([SessionServices.layer, LockService.layer, ReplicationStream.layer, Warmth.layer, Verifier.layer]),
  Layer.provide(conditionsLayer),
  Layer.provide([Publication.layer, catalogueLayer, Snapshotter.layer, SubsetReader.layer, shapeLogsLayer, shapeRegistryLayer]),
  Layer.provide([HealthRef.layer, Inspector.layer, Storage.layer, SnapshotSessions.layer, CurrentSession.layer]),
  Layer.provide([AdminPool.layer, schemaMemoryLayer]),
  Layer.provide(Storage.layer)
)
export { followed, replaced, needs, configured, byHand, Logs, MetricsServer, HttpWorkers }
`

const mistake = `import { Effect } from "effect"
import { batonVersion, Baton } from "pgbaton"
export const text: string = Number(batonVersion)
export const layer = Baton.layer({ authorize: () => Effect.succeed(42) })
`

describe("the installed command", () => {
  it("ends with one message that names every bad variable", async () => {
    const ended = await runToEnd(consumer.command, [], {
      cwd: consumer.directory,
      env: {
        DATABASE_URL: "postgresql://baton:hidden@127.0.0.1:1/x",
        ELECTRIC_PORT: "http",
        ELECTRIC_INSECURE: "no"
      }
    })
    assert.strictEqual(ended.code, 1)
    assert.match(ended.output, / error (?:\[BATON-[A-Z-]+\] )?The configuration cannot be used:\n/)
    assert.match(ended.output, /ELECTRIC_PORT="http": expected an integer/)
    assert.match(ended.output, /ELECTRIC_INSECURE="no"/)
    assert.notInclude(ended.output, "hidden")
    assert.notInclude(ended.output, "    at ")
  })

  it("says what to do when there is neither a database nor an embedded one", async () => {
    const ended = await runToEnd(consumer.command, [], { cwd: consumer.directory })
    assert.strictEqual(ended.code, 1)
    assert.match(ended.output, /set DATABASE_URL/)
    assert.notInclude(ended.output, "    at ")
  })

  it("serves shapes, with workers if asked to, and ends in order with SIGTERM", async () => {
    const canShareItsPort = process.platform === "linux"
    await using service = await startService({
      database: db(),
      entry: consumer.command,
      cwd: consumer.directory,
      env: canShareItsPort ? { BATON_HTTP_WORKERS: "1" } : {}
    })
    if (canShareItsPort) await service.untilLogged(/HTTP worker 1 answers requests/)
    const response = await fetch(`${service.url}/v1/shape?table=projects&offset=-1`)
    assert.strictEqual(response.status, 200)
    assert.match(response.headers.get("electric-server") ?? "", / Baton\/\d+\.\d+\.\d+$/)
    assert.include(await (await fetch(`${service.url}/baton/`)).text(), "<title>Baton</title>")
    assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
  })
})

/** Runs an example as its reader would, and waits until it is active. */
const start = async (file: string): Promise<TestService> => {
  const port = await freePort()
  const service = await startService({
    database: db(),
    entry: path.join(consumer.directory, file),
    cwd: consumer.directory,
    port,
    // What is the same for all examples is compiled once.
    env: { PORT: String(port), NODE_COMPILE_CACHE: path.join(consumer.directory, "compiled") },
    until: false
  })
  await eventually(`${file} to be active`, async () => {
    const health = await fetch(`${service.url}/sync/v1/health`)
    return (await health.text()) === '{"status":"active"}'
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}. Its log:\n${service.logs()}`)
  })
  return service
}
const values = (messages: unknown): ReadonlyArray<Record<string, unknown>> =>
  (messages as ReadonlyArray<{ readonly value?: Record<string, unknown> }>).flatMap(({ value }) =>
    value === undefined ? [] : [value]
  )

describe("the examples of docs/library.md", () => {
  it("an Effect server: each session sees its own rows, and nobody else any", async () => {
    await using service = await start("effect-server.ts")
    assert.strictEqual(await (await fetch(`${service.url}/hello`)).text(), "hello")
    const read = (token: string) =>
      fetch(`${service.url}/sync/v1/shape?table=projects&offset=-1`, {
        headers: { authorization: `Bearer ${token}` }
      })
    const refused = await read("stolen")
    assert.strictEqual(refused.status, 401)
    assert.deepStrictEqual(await refused.json(), { message: "Sign in first" })
    const adas = values(await (await read("token-of-ada")).json())
    assert.isAbove(adas.length, 10)
    assert.deepStrictEqual(new Set(adas.map((row) => row["project_id"])), new Set(["1"]))
    const bobs = values(await (await read("token-of-bob")).json())
    assert.deepStrictEqual(new Set(bobs.map((row) => row["project_id"])), new Set(["2"]))
    // Of the host's own making: `NodeRuntime.runMain` reports the signal.
    assert.strictEqual((await service.stop()).code, 130)
    assert.match(service.logs(), /lockReleased/)
  })

  it("a plain Node server: the hook chooses the columns, and the process ends by itself", async () => {
    await using service = await start("node-server.ts")
    const read = (table: string, cookie: string) =>
      fetch(`${service.url}/sync/v1/shape?table=${table}&offset=-1`, { headers: { cookie } })
    assert.strictEqual((await read("issues", "")).status, 401)
    assert.strictEqual((await read("projects", "user=ada")).status, 403)
    const rows = values(await (await read("issues", "user=ada")).json())
    assert.strictEqual(rows.length, 200)
    assert.deepStrictEqual(Object.keys(rows[0] ?? {}).toSorted(), ["id", "status", "title"])
    assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
  })

  const origin = "http://localhost:5173"
  for (const file of ["express-server.ts", "fastify-server.ts", "hono-server.ts"])
    it(`${file}: pages of its origin read with cookies, bodies arrive, and the process ends by itself`, async () => {
      await using service = await start(file)
      const ask = (body?: object) =>
        fetch(`${service.url}/sync/v1/shape?table=issues&offset=-1&columns=id,title`, {
          headers: {
            origin,
            cookie: "a=b",
            ...(body === undefined ? {} : { "content-type": "application/json" })
          },
          ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) })
        })
      const whole = await ask()
      assert.strictEqual(values(await whole.json()).length, 200)
      const subset = await ask({ where: "id = 5" })
      const { data } = (await subset.json()) as { readonly data: ReadonlyArray<{ readonly value: object }> }
      assert.deepStrictEqual(
        data.map(({ value }) => Object.keys(value)),
        [["id", "title"]]
      )
      for (const { headers } of [whole, subset]) {
        assert.strictEqual(headers.get("access-control-allow-origin"), origin)
        assert.strictEqual(headers.get("access-control-allow-credentials"), "true")
        assert.match(headers.get("access-control-expose-headers") ?? "", /electric-handle/)
      }
      assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
    })

  it("a configuration of one's own: in memory, on a port that the system chose", async () => {
    const directory = path.join(consumer.directory, "elsewhere")
    const ended = await runToEnd(process.execPath, ["own-config.ts"], {
      cwd: consumer.directory,
      env: { DATABASE_URL: db().url, ELECTRIC_STORAGE_DIR: directory }
    })
    assert.strictEqual(ended.code, 0, ended.output)
    assert.match(ended.output, /reached active/)
    assert.isFalse(existsSync(directory))
  })

  it("a part of one's own: it takes the place of Baton's", async () => {
    const ended = await runToEnd(process.execPath, ["own-part.ts"], {
      cwd: consumer.directory,
      env: {
        DATABASE_URL: db().url,
        ELECTRIC_STORAGE_DIR: path.join(consumer.directory, "own-part"),
        ELECTRIC_REPLICATION_STREAM_ID: `${db().streamId}_part`,
        ELECTRIC_INSECURE: "true",
        ELECTRIC_PORT: String(await freePort())
      }
    })
    assert.strictEqual(ended.code, 0, ended.output)
    assert.match(ended.output, /info public\.issues: \d+ ms/)
  })
})

describe("the example servers", () => {
  it("Effect: users read the rows of their own projects, whatever they ask for", async () => {
    await using service = await start("example-effect-server.ts")
    const read = async (token: string, query = "table=issues") => {
      const response = await fetch(`${service.url}/sync/v1/shape?${query}&offset=-1`, {
        headers: { authorization: `Bearer ${token}` }
      })
      return { status: response.status, rows: response.ok ? values(await response.json()) : [] }
    }
    const projectsIn = async (token: string, query?: string) =>
      [...new Set((await read(token, query)).rows.map((row) => row["project_id"]))].toSorted()
    assert.strictEqual((await read("stolen")).status, 401)
    assert.deepStrictEqual(await projectsIn("token-of-ada"), ["1", "2"])
    assert.deepStrictEqual(await projectsIn("token-of-bob"), ["3"])
    assert.deepStrictEqual(await projectsIn("token-of-bob", "table=issues&where=project_id%20%3D%201"), ["3"])
    assert.deepStrictEqual(await projectsIn("token-of-eve", "table=issues&where=project_id%20%3D%205"), ["5"])
    assert.strictEqual((await read("token-of-bob", "table=pg_class")).status, 403)
    const named = await read("token-of-ada", "table=projects&columns=id,name")
    assert.deepStrictEqual(named.rows, [
      { id: "1", name: "Website" },
      { id: "2", name: "Mobile app" }
    ])
    const me = await fetch(`${service.url}/me`, { headers: { authorization: "Bearer token-of-ada" } })
    assert.deepStrictEqual(await me.json(), { name: "Ada", projects: [1, 2] })
  })

  it("Express: the session decides, and a shape ends with it", async () => {
    await using service = await start("example-express.ts")
    const post = (route: string, body: object, cookie = "") =>
      fetch(`${service.url}${route}`, {
        method: "POST",
        headers: { "content-type": "application/json", cookie },
        body: JSON.stringify(body)
      })
    const read = (cookie: string, query = "offset=-1") =>
      fetch(`${service.url}/sync/v1/shape?table=issues&${query}`, { headers: { cookie } })
    assert.strictEqual((await read("")).status, 401)
    assert.strictEqual((await post("/sign-in", { user: "mallory" })).status, 403)
    const signedIn = await post("/sign-in", { user: "bob" })
    const cookie = signedIn.headers.getSetCookie()[0]?.split(";")[0] ?? ""
    const first = await read(cookie)
    const rows = values(await first.json())
    const expected = await db().query<{ n: number }>(
      "SELECT count(*)::int AS n FROM issues WHERE project_id = 2"
    )
    assert.strictEqual(rows.length, expected[0]?.n)
    assert.deepStrictEqual(Object.keys(rows[0] ?? {}).toSorted(), ["id", "status", "title"])
    const live = `handle=${first.headers.get("electric-handle")}&offset=0_inf&live=true`
    const held = read(cookie, live)
    await db().query(
      "UPDATE issues SET title = 'seen by Bob' WHERE id = (SELECT min(id) FROM issues WHERE project_id = 2)"
    )
    assert.include(await (await held).text(), "seen by Bob")
    await post("/sign-out", {}, cookie)
    assert.strictEqual((await read(cookie, live)).status, 401)
    assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
  })
})
