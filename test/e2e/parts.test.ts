import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Deferred, Effect, Layer, Option, Result, Tracer } from "effect"
import { assert, describe, it, onTestFinished } from "vitest"
import {
  Baton,
  Conditions,
  Config,
  HealthRef,
  Inspector,
  instanceInBackground,
  LockService,
  parseConfig,
  type Part,
  type PartBase,
  Publication,
  PublicationError,
  Refused,
  ReplicationStream,
  ShapeApi,
  ShapeRegistry,
  shapeRegistryLayer,
  SnapshotFailed,
  Snapshotter,
  Storage
} from "../../src/index.ts"
import { databaseForTest } from "../faults/support/faults.ts"
import { ask } from "../http/support/harness.ts"
import { recordingLogger } from "../storage/support.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"

const items = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)"
const target = "/v1/shape?table=items&offset=-1"

const storageForTest = (): string => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-parts-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const configOf = (database: TestDatabase, storageDir: string) => {
  const parsed = parseConfig({
    DATABASE_URL: database.url,
    ELECTRIC_REPLICATION_STREAM_ID: database.streamId,
    ELECTRIC_STORAGE_DIR: storageDir,
    ELECTRIC_INSECURE: "true",
    BATON_SHUTDOWN_GRACE: "1s"
  })
  if (Result.isFailure(parsed) || parsed.success._tag !== "Complete") return assert.fail("no configuration")
  return Layer.succeed(Config, parsed.success.config)
}

/** An active instance with a part of the program's own; `body` runs inside, with all services. */
const withParts = async <P extends Part, E>(
  parts: Layer.Layer<P, E, PartBase | Config>,
  body: (context: {
    readonly database: TestDatabase
    readonly storageDir: string
  }) => Effect.Effect<void, unknown, ShapeApi | HealthRef>
) => {
  const database = await databaseForTest()
  await database.query(items)
  const storageDir = storageForTest()
  const running = instanceInBackground.pipe(
    Layer.provideMerge(Baton.layer({ parts })),
    Layer.provide(recordingLogger([])),
    Layer.provide(configOf(database, storageDir))
  )
  const program = Effect.gen(function* () {
    const health = yield* HealthRef
    const active = yield* health.awaitState((state) => state === "active", "20 seconds")
    assert.isTrue(Option.isSome(active), `is ${health.current()}`)
    yield* body({ database, storageDir })
  })
  await Effect.runPromise(Effect.provide(program, running))
}

const journalFiles = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((file) => file.includes("journal"))

describe("a part of the program's own takes the place of", () => {
  it("LockService: a lock that is held elsewhere, and none in Postgres", async () => {
    const asked: Array<number> = []
    const part = Layer.succeed(LockService, {
      acquire: (connection) => Effect.sync(() => void asked.push(connection.backendPid))
    })
    await withParts(part, ({ database }) =>
      Effect.promise(async () => {
        assert.strictEqual(asked.length, 1)
        const [walsender] = await database.query<{ pid: number }>(
          `SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = '${database.slotName}'`
        )
        assert.strictEqual(walsender?.pid, asked[0])
        const locks = await database.query(
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = ${walsender?.pid}`
        )
        assert.deepStrictEqual(locks, [])
      })
    )
  })

  it("ReplicationStream: what every transaction goes through", async () => {
    const seen: Array<string> = []
    const part = Layer.effect(
      ReplicationStream,
      Effect.map(ReplicationStream, (own) => ({
        ...own,
        stream: (connection, options) => {
          seen.push("stream")
          return own.stream(connection, options)
        }
      }))
    ).pipe(Layer.provide(ReplicationStream.layer))
    await withParts(part, ({ database }) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(seen, ["stream"])
        const handle = (yield* ask(target)).header("electric-handle") ?? ""
        yield* Effect.promise(() => database.query("INSERT INTO items VALUES (2, 2)"))
        const changes = yield* ask(`${target.replace("-1", "0_0")}&handle=${handle}&live=true`)
        assert.include(changes.text, '"id":"2"')
      })
    )
  })

  it("ShapeRegistry: who may make shapes", async () => {
    const part = Layer.effect(
      ShapeRegistry,
      Effect.map(ShapeRegistry, (own) => ({
        ...own,
        getOrCreate: (definition) =>
          definition.where === undefined
            ? Effect.fail(new SnapshotFailed({ kind: "refused", message: "No whole tables today" }))
            : own.getOrCreate(definition)
      }))
    ).pipe(Layer.provide(shapeRegistryLayer), Layer.provideMerge(Storage.layer))
    await withParts(part, () =>
      Effect.gen(function* () {
        const whole = yield* ask(target)
        assert.strictEqual(whole.status, 400)
        assert.include(whole.text, "No whole tables today")
        assert.strictEqual((yield* ask(`${target}&where=id%20%3D%201`)).status, 200)
      })
    )
  })

  it("HealthRef: every event of the instance", async () => {
    const events: Array<string> = []
    const part = Layer.effect(
      HealthRef,
      Effect.map(HealthRef, (own) => ({
        ...own,
        send: (event) => {
          events.push(event)
          return own.send(event)
        }
      }))
    ).pipe(Layer.provide(HealthRef.layer))
    await withParts(part, () => Effect.void)
    assert.includeMembers(events, ["storageLoaded", "lockGranted", "streamStarted", "shutdown"])
  })

  it("Storage: where the journal is", async () => {
    const elsewhere = storageForTest()
    const part = Storage.layer.pipe(
      Layer.provide(
        Layer.effect(
          Config,
          Effect.map(Config, (config) => ({ ...config, storageDir: elsewhere }))
        )
      )
    )
    await withParts(part, ({ database, storageDir }) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* ask(target)).status, 200)
        assert.isNotEmpty(journalFiles(elsewhere))
        assert.include(journalFiles(elsewhere)[0] ?? "", database.streamId)
        assert.deepStrictEqual(journalFiles(storageDir), [])
      })
    )
  })

  it("Publication: which tables are published", async () => {
    const part = Layer.effect(
      Publication,
      Effect.map(Publication, (own) => ({
        ...own,
        publish: (table, options) =>
          table.name === "items"
            ? Effect.fail(
                new PublicationError({
                  kind: "unavailable",
                  reason: "notPublished",
                  message: "items are published by hand"
                })
              )
            : own.publish(table, options)
      }))
    ).pipe(Layer.provide(Publication.layer), Layer.provide(Inspector.layer))
    await withParts(part, ({ database }) =>
      Effect.gen(function* () {
        const refused = yield* ask(target)
        assert.strictEqual(refused.status, 503)
        assert.include(refused.text, "items are published by hand")
        const published = yield* Effect.promise(() =>
          database.query(
            `SELECT tablename FROM pg_publication_tables WHERE pubname = '${database.publicationName}'`
          )
        )
        assert.deepStrictEqual(published, [])
      })
    )
  })

  it("Snapshotter: how first rows are read", async () => {
    const done = Deferred.makeUnsafe<string>()
    const part = Layer.effect(
      Snapshotter,
      Effect.map(Snapshotter, (own) => ({
        run: (request) =>
          request.definition.table.name === "items"
            ? own.run(request).pipe(Effect.tap(Deferred.succeed(done, request.definition.table.name)))
            : Effect.fail(new SnapshotFailed({ kind: "unavailable", message: "Only items are read" }))
      }))
    ).pipe(Layer.provide(Snapshotter.layer))
    await withParts(part, ({ database }) =>
      Effect.gen(function* () {
        yield* Effect.promise(() => database.query("CREATE TABLE others (id int PRIMARY KEY)"))
        assert.strictEqual((yield* ask(target)).status, 200)
        assert.strictEqual(yield* Deferred.await(done), "items")
        const others = yield* ask(target.replace("items", "others"))
        assert.strictEqual(others.status, 503)
        assert.include(others.text, "Only items are read")
      })
    )
  })

  it("Conditions and Inspector at once: which clauses and tables there are", async () => {
    const inspector = Layer.effect(
      Inspector,
      Effect.map(Inspector, (own) => ({
        ...own,
        table: (schema, name) => (name === "hidden" ? Effect.succeed(undefined) : own.table(schema, name)),
        remembered: (schema, name) => (name === "hidden" ? undefined : own.remembered(schema, name))
      }))
    ).pipe(Layer.provide(Inspector.layer))
    await withParts(Layer.merge(Conditions.layerNone, inspector), ({ database }) =>
      Effect.gen(function* () {
        yield* Effect.promise(() => database.query("CREATE TABLE hidden (id int PRIMARY KEY)"))
        const where = yield* ask(`${target}&where=id%20%3D%201`)
        assert.strictEqual(where.status, 400)
        assert.include(where.text, "is not supported by this service")
        const hidden = yield* ask(target.replace("items", "hidden"))
        assert.strictEqual(hidden.status, 400)
        assert.include(hidden.text, "does not exist")
        assert.strictEqual((yield* ask(target)).status, 200)
      })
    )
  })

  it("nothing by being provided beside it, as another service of the same program would be", async () => {
    const asked: Array<number> = []
    const beside = Layer.succeed(LockService, {
      acquire: (connection) => Effect.sync(() => void asked.push(connection.backendPid))
    })
    const database = await databaseForTest()
    const running = instanceInBackground.pipe(
      Layer.provideMerge(Baton.layer()),
      Layer.provide(beside),
      Layer.provide(recordingLogger([])),
      Layer.provide(configOf(database, storageForTest()))
    )
    const program = Effect.gen(function* () {
      const health = yield* HealthRef
      yield* Effect.promise(() => eventually("active", () => health.current() === "active"))
      assert.deepStrictEqual(asked, [])
    })
    await Effect.runPromise(Effect.provide(program, running))
  })

  it("the hook: an ordinary option, with services of the program", async () => {
    const database = await databaseForTest()
    await database.query(items)
    const running = instanceInBackground.pipe(
      Layer.provideMerge(
        Baton.layer({
          authorize: ({ shape }) =>
            shape.table === "items"
              ? Effect.succeed(shape)
              : Effect.fail(Refused.because(404, "no such table"))
        })
      ),
      Layer.provide(recordingLogger([])),
      Layer.provide(configOf(database, storageForTest()))
    )
    const program = Effect.gen(function* () {
      const health = yield* HealthRef
      yield* Effect.promise(() => eventually("active", () => health.current() === "active"))
      assert.strictEqual((yield* ask(target)).status, 200)
      assert.strictEqual((yield* ask(target.replace("items", "others"))).status, 404)
    })
    await Effect.runPromise(Effect.provide(program, running))
  })
})

describe("a program that traces", () => {
  it("sees what services take their time for", async () => {
    const database = await databaseForTest()
    await database.query(items)
    const names = new Set<string>()
    const tracer = Tracer.make({
      span: (options) => {
        names.add(options.name)
        return new Tracer.NativeSpan(options)
      }
    })
    const running = instanceInBackground.pipe(
      Layer.provideMerge(Baton.layer()),
      Layer.provide(recordingLogger([])),
      Layer.provide(configOf(database, storageForTest())),
      Layer.provideMerge(Layer.succeed(Tracer.Tracer, tracer))
    )
    const program = Effect.gen(function* () {
      const reply = yield* ask(target)
      assert.strictEqual(reply.status, 200)
    })
    await Effect.runPromise(Effect.provide(program, running))
    assert.includeMembers(
      [...names],
      [
        "Storage.load",
        "ReplicationStream.connect",
        "LockService.acquire",
        "Publication.ensureExists",
        "ReplicationStream.ensureSlot",
        "ShapeRegistry.create",
        "Publication.publish",
        "Snapshotter.run",
        "Instance.shutdown"
      ]
    )
  })
})
