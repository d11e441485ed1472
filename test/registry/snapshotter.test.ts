import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect, Fiber, Redacted } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import {
  defaultSnapshotLimits,
  makeSnapshotter,
  type SnapshotLimits,
  type SnapshotRequest
} from "../../src/registry/snapshot/Snapshotter.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { Collected, definitionOf, sessionsOf } from "./snapshot-support.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { journalLsn } from "../../src/shared/Lsn.ts"

const db = databaseForFile((database) =>
  database.query(`
    CREATE TABLE items (id bigint PRIMARY KEY, title text, note text);
    INSERT INTO items SELECT i, 'title ' || i, repeat('x', i % 50) FROM generate_series(1, 1000) i;
    CREATE TABLE empty (id int PRIMARY KEY);
    CREATE TABLE keyless (a text, b int);
    INSERT INTO keyless VALUES ('x', 1), ('x/y', NULL), (NULL, NULL);
    CREATE TABLE "Odd ""Name""/" ("Key/1" text, "b\\s" text, "a""q" int, PRIMARY KEY ("a""q", "Key/1"));
    INSERT INTO "Odd ""Name""/" VALUES ('a/b', E'tab\\there', 7);
    CREATE TABLE parts (id int, day int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parts_2 (day int NOT NULL, id int NOT NULL);
    ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
    INSERT INTO parts VALUES (1, 1), (2, 15);
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child () INHERITS (parent);
    INSERT INTO parent VALUES (1);
    INSERT INTO child VALUES (2);
    CREATE TABLE huge (id int PRIMARY KEY, body text);
    INSERT INTO huge SELECT i, CASE WHEN i % 10 = 5 THEN repeat('größe"', 400000) ELSE 'small' END
    FROM generate_series(1, 30) i;
    CREATE TABLE secret_table (id int PRIMARY KEY);
    INSERT INTO secret_table VALUES (1)
  `)
)

const run = <E>(
  request: SnapshotRequest<E>,
  options: { readonly chunkBytes?: number; readonly limits?: Partial<SnapshotLimits> } & Parameters<
    typeof sessionsOf
  >[1] = {}
) =>
  Effect.scoped(
    Effect.flatMap(sessionsOf(db(), options), (sessions) =>
      makeSnapshotter(sessions, options.chunkBytes ?? 10_485_760, systemTimers, {
        ...defaultSnapshotLimits,
        ...options.limits
      }).run(request)
    )
  )

const define = (
  ...parameters: Parameters<typeof definitionOf> extends [unknown, ...infer Rest] ? Rest : never
) => Effect.promise(() => definitionOf(db(), ...parameters))

const snapshotOf = Effect.fnUntraced(function* (...parameters: Parameters<typeof define>) {
  const collected = new Collected()
  yield* run(collected.request(yield* define(...parameters)))
  return collected
})

/** Sessions of ours that run something in this database. */
const running = () =>
  db().query<{ wait_event: string | null; query: string }>(
    "SELECT wait_event, query FROM pg_stat_activity WHERE datname = $1 AND application_name = 'baton snapshot' AND state = 'active'",
    [db().name]
  )

/** What a message counts towards the size of its chunk. */
const rowBytes = (line: string | undefined): number => Buffer.byteLength(line ?? "") + 1

describe("a snapshot", () => {
  it.live("holds every row of the table, then says which transactions it contains", () =>
    Effect.gen(function* () {
      const collected = yield* snapshotOf("items")
      const rows = collected.rows()
      assert.strictEqual(rows.length, 1000)
      assert.deepStrictEqual(
        rows.find(({ value }) => value["id"] === "7"),
        {
          key: '"public"."items"/"7"',
          value: { id: "7", title: "title 7", note: "xxxxxxx" },
          headers: { operation: "insert", relation: ["public", "items"] }
        }
      )
      const [snapshot] = collected.snapshots
      assert.isDefined(snapshot)
      assert.isTrue(
        snapshot.xmin > 0n && snapshot.xmax >= snapshot.xmin && journalLsn(snapshot.walLsn, 0n) > 0n
      )
      assert.deepStrictEqual(collected.messages().at(-1) as unknown, {
        headers: {
          control: "snapshot-end",
          xmin: String(snapshot.xmin),
          xmax: String(snapshot.xmax),
          xip_list: snapshot.xipList.map(String)
        }
      })
      assert.isTrue(collected.ended)
    })
  )

  it.live("of an empty table, or of a shape of changes only, is its last message alone", () =>
    Effect.gen(function* () {
      for (const collected of [
        yield* snapshotOf("empty"),
        yield* snapshotOf("items", { log: "changes_only" })
      ]) {
        assert.deepStrictEqual(
          collected.messages().map(({ headers }) => headers["control"]),
          ["snapshot-end"]
        )
        assert.strictEqual(collected.chunks.length, 1)
      }
    })
  )

  it.live("holds the rows and columns that the shape asks for", () =>
    Effect.gen(function* () {
      const definition = {
        columns: ["id", "title"],
        selectsAllColumns: false,
        whereSql: "id < 3 OR id = 1000"
      }
      const collected = yield* snapshotOf("items", definition)
      assert.deepStrictEqual(
        collected.rows().map(({ value }) => value),
        [1, 2, 1000].map((i) => ({ id: String(i), title: `title ${i}` }))
      )
    })
  )

  it.live("spells keys of odd tables and of tables without one", () =>
    Effect.gen(function* () {
      const odd = yield* snapshotOf('"Odd ""Name""/"')
      assert.deepStrictEqual(odd.rows(), [
        {
          key: '"public"."Odd ""Name""/"/"7"/"a//b"',
          value: { "Key/1": "a/b", "b\\s": "tab\there", 'a"q': "7" },
          headers: { operation: "insert", relation: ["public", 'Odd "Name"/'] }
        }
      ])
      const keyless = yield* snapshotOf("keyless")
      assert.deepStrictEqual(
        keyless.rows().map(({ key }) => key),
        ['"public"."keyless"/"x"/"1"', '"public"."keyless"/"x//y"/_', '"public"."keyless"/_/_']
      )
    })
  )

  it.live("takes in all partitions under the name of their root, but no tables that inherit", () =>
    Effect.gen(function* () {
      const parts = yield* snapshotOf("parts")
      assert.deepStrictEqual(
        parts.rows().map(({ key }) => key),
        ['"public"."parts"/"1"/"1"', '"public"."parts"/"15"/"2"']
      )
      const parent = yield* snapshotOf("parent")
      assert.deepStrictEqual(
        parent.rows().map(({ value }) => value),
        [{ id: "1" }]
      )
    })
  )

  it.live("is cut into chunks after the row that reaches the size", () =>
    Effect.gen(function* () {
      const definition = yield* define("items")
      const whole = new Collected()
      yield* run(whole.request(definition))
      const lines = whole.chunks[0]?.split(",\n") ?? []
      assert.strictEqual(lines.length, 1001)
      const exact = rowBytes(lines[0]) + rowBytes(lines[1])
      for (const chunkBytes of [1, exact, exact + 1, 1000, 5000]) {
        const expected: Array<string> = []
        let chunk: Array<string> = []
        let bytes = 0
        for (const line of lines.slice(0, -1)) {
          chunk.push(line)
          bytes += rowBytes(line)
          if (bytes < chunkBytes) continue
          expected.push(chunk.join(",\n"))
          chunk = []
          bytes = 0
        }
        const collected = new Collected()
        yield* run(collected.request(definition), { chunkBytes })
        assert.deepStrictEqual(collected.chunks.slice(0, -1), expected)
        const last = JSON.parse(`[${collected.chunks.at(-1)}]`) as ReadonlyArray<unknown>
        assert.strictEqual(last.length, chunk.length + 1)
      }
    })
  )

  it.live("carries rows of megabytes among small ones", () =>
    Effect.gen(function* () {
      const collected = yield* snapshotOf("huge")
      const bodies = collected.rows().map(({ value }) => value["body"])
      assert.strictEqual(bodies.filter((body) => body === "small").length, 27)
      assert.strictEqual(bodies.filter((body) => body === 'größe"'.repeat(400_000)).length, 3)
    })
  )

  it.live("is taken anew as long as it is refused, and then contains what was committed meanwhile", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() => db().query("CREATE TABLE late (id int PRIMARY KEY)"))
      const collected = new Collected()
      const request = collected.request(yield* define("late"))
      let asked = 0
      yield* run({
        ...request,
        onSnapshot: Effect.fnUntraced(function* (snapshot) {
          yield* request.onSnapshot(snapshot)
          if (++asked > 3) return "go"
          yield* Effect.promise(() => db().query("INSERT INTO late VALUES ($1)", [asked]))
          return "retry"
        })
      })
      assert.deepStrictEqual(
        collected.rows().map(({ value }) => value["id"]),
        ["1", "2", "3"]
      )
      // Not its xmin: that waits for transactions of other databases, too.
      assert.isTrue((collected.snapshots[0]?.xmax ?? 0n) < (collected.snapshots[3]?.xmax ?? 0n))
    })
  )

  it.live("does not contain what is committed after it was taken", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() => db().query("CREATE TABLE after (id int PRIMARY KEY)"))
      const collected = new Collected()
      const request = collected.request(yield* define("after"))
      yield* run({
        ...request,
        onSnapshot: () =>
          Effect.as(
            Effect.promise(() => db().query("INSERT INTO after VALUES (1)")),
            "go" as const
          )
      })
      assert.deepStrictEqual(collected.rows(), [])
    })
  )

  it.live("does not contain a transaction that is still open", () =>
    Effect.gen(function* () {
      const writer = yield* Effect.promise(() => db().connect())
      const collected = new Collected()
      yield* Effect.promise(async () => {
        await writer.query("BEGIN; INSERT INTO empty VALUES (1)")
        // A later one that has ended already: the open one is then listed, not just beyond the end.
        await db().query("INSERT INTO keyless VALUES ('later', 2); DELETE FROM keyless WHERE a = 'later'")
      })
      const [row] = yield* Effect.promise(
        async () => (await writer.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid")).rows
      )
      yield* run(collected.request(yield* define("empty")))
      yield* Effect.promise(() => writer.query("ROLLBACK"))
      assert.deepStrictEqual(collected.rows(), [])
      assert.include([...(collected.snapshots[0]?.xipList ?? [])], BigInt(row?.xid ?? -1))
    })
  )
})

describe("while the sink is busy", () => {
  it.live("Postgres waits and memory does not grow", () =>
    Effect.gen(function* () {
      const definition = yield* define("items", { whereSql: "true" })
      yield* Effect.promise(() =>
        db().query(
          "CREATE VIEW many AS SELECT i AS id, repeat('y', 1000) AS body FROM generate_series(1, 400000) i"
        )
      )
      const [view] = yield* Effect.promise(() =>
        db().query<{ oid: number }>("SELECT 'many'::regclass::oid::int AS oid")
      )
      const before = process.memoryUsage()
      let written = 0
      const fiber = yield* Effect.forkChild(
        run({
          definition: {
            ...definition,
            table: { oid: view?.oid ?? 0, schema: "public", name: "many" },
            columns: ["id", "body"],
            tableColumns: []
          },
          onSnapshot: () => Effect.succeed("go" as const),
          sink: {
            write: () => (++written > 3 ? Effect.never : Effect.void),
            endChunk: () => Effect.void,
            end: () => Effect.void
          }
        })
      )
      // Before that Postgres may wait as well, but for a moment only.
      yield* Effect.promise(() => eventually("the sink to be busy", async () => written === 4))
      yield* Effect.promise(() =>
        eventually("Postgres to wait", async () =>
          (await running()).some((s) => s.wait_event === "ClientWrite")
        )
      )
      const after = process.memoryUsage()
      assert.isBelow(after.arrayBuffers + after.external - before.arrayBuffers - before.external, 30_000_000)
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => eventually("the query to end", async () => (await running()).length === 0))
      assert.strictEqual(written, 4)
    })
  )

  it.live("a failure of it ends the snapshot and the query, and leaves the sessions usable", () =>
    Effect.gen(function* () {
      const definition = yield* define("items")
      const sessions = yield* sessionsOf(db(), { size: 1 })
      const snapshotter = makeSnapshotter(sessions, 1000, systemTimers)
      const failing = new Collected().request<string>(definition)
      const failure = yield* Effect.flip(
        snapshotter.run({ ...failing, sink: { ...failing.sink, endChunk: () => Effect.fail("disk full") } })
      )
      assert.strictEqual(failure, "disk full")
      const collected = new Collected()
      yield* snapshotter.run(collected.request(definition))
      assert.strictEqual(collected.rows().length, 1000)
    })
  )
})

describe("a snapshot that fails", () => {
  const failure = Effect.fnUntraced(function* (
    definition: Parameters<typeof define>,
    options: Parameters<typeof run>[1] = {}
  ) {
    const { kind, message } = yield* Effect.flip(
      run(new Collected().request(yield* define(...definition)), options)
    )
    return { kind, message }
  })

  it.live("because its first row takes too long says so and cancels the query", () =>
    Effect.gen(function* () {
      const { kind, message } = yield* failure(["items", { whereSql: "pg_sleep(60) IS NOT NULL" }], {
        limits: { firstRowMillis: 100 }
      })
      assert.strictEqual(kind, "unavailable")
      assert.match(message, /^Snapshot query took too long to return data \(cancelled after 100ms\)\. /)
      yield* Effect.promise(() => eventually("the query to end", async () => (await running()).length === 0))
    })
  )

  // Earlier versions send nothing before there is more.
  it.live.skipIf(inject("pg").majorVersion < 16)("not because rows after the first take long", () =>
    Effect.gen(function* () {
      // Postgres sends the first row at once only because it is larger than its buffer.
      const whereSql = "id = 5 OR (id > 5 AND id < 8 AND pg_sleep(0.3) IS NOT NULL)"
      const collected = new Collected()
      yield* run(collected.request(yield* define("huge", { whereSql })), { limits: { firstRowMillis: 250 } })
      assert.strictEqual(collected.rows().length, 3)
    })
  )

  it.live("because what it names is gone asks for a new shape", () =>
    Effect.gen(function* () {
      const definition = yield* define("items")
      const nullable = yield* define("keyless")
      const gone = [
        { ...definition, columns: ["id", "gone"] },
        { ...definition, table: { ...definition.table, name: "gone" } },
        { ...definition, table: { ...definition.table, oid: 1 } },
        // Another table has the name.
        { ...definition, table: { ...definition.table, name: "huge" }, columns: ["id"] },
        // Another column has the name; it has another type; it has NULLs now.
        {
          ...definition,
          tableColumns: definition.tableColumns.map((c) => ({ ...c, attnum: (c.attnum ?? 0) + 1 }))
        },
        { ...definition, tableColumns: definition.tableColumns.map((c) => ({ ...c, typeOid: 16 })) },
        {
          ...nullable,
          columns: ["a", "b"],
          tableColumns: nullable.tableColumns.map((c) => ({ ...c, notNull: c.name === "b" }))
        }
      ]
      for (const request of gone) {
        const error = yield* Effect.flip(run(new Collected().request(request)))
        assert.strictEqual(error.kind, "schemaChanged", error.message)
      }
      for (const sql of ["gone()", "id::gone = 1", "id === 1", "1", "id || true"]) {
        const error = yield* Effect.flip(
          run(new Collected().request({ ...definition, where: { sql, expression: {} } }))
        )
        assert.strictEqual(error.kind, "conditionOutdated", error.message)
      }
    })
  )

  it.live("because Postgres cannot evaluate the condition says why", () =>
    Effect.gen(function* () {
      const failures = [
        ["10 / (id - 5) > 1", "division by zero"],
        ["title::int > 1", 'invalid input syntax for type integer: "title 1"'],
        ["title ~ repeat('(', 2)", "invalid regular expression: parentheses () not balanced"],
        ["sqrt(-id::float8) > 1", "cannot take square root of a negative number"]
      ] as const
      for (const [whereSql, message] of failures) {
        const error = yield* failure(["items", { whereSql }])
        assert.deepStrictEqual([error.kind, error.message], ["conditionFailed", message])
      }
    })
  )

  it.live("because of a missing privilege says which", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() =>
        db().query("DROP ROLE IF EXISTS snapshot_nobody; CREATE ROLE snapshot_nobody LOGIN PASSWORD 'x'")
      )
      const error = yield* failure(["secret_table"], {
        target: { username: "snapshot_nobody", password: Redacted.make("x") }
      })
      assert.deepStrictEqual(error, {
        kind: "unavailable",
        message: "Unable to create initial snapshot: permission denied for table secret_table"
      })
    })
  )

  it.live("for a reason nobody foresaw repeats what Postgres said", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* failure(["items", { whereSql: "id = (SELECT id FROM items)" }]), {
        kind: "unexpected",
        message: "more than one row returned by a subquery used as an expression"
      })
    })
  )

  it.live("because the database is not there names no hosts", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* failure(["items"], { target: { port: 1, host: "127.0.0.1" } }), {
        kind: "unavailable",
        message: "Database connection not available"
      })
    })
  )

  it.live("because all sessions are taken says so", () =>
    Effect.gen(function* () {
      const definition = yield* define("items")
      const sessions = yield* sessionsOf(db(), { size: 1, acquireTimeoutMillis: 50 })
      const snapshotter = makeSnapshotter(sessions, 1000, systemTimers)
      const request = new Collected().request(definition)
      const first = yield* Effect.forkChild(snapshotter.run({ ...request, onSnapshot: () => Effect.never }), {
        startImmediately: true
      })
      const error = yield* Effect.flip(snapshotter.run(request))
      assert.deepStrictEqual(
        [error.kind, error.message],
        ["unavailable", "Snapshot creation failed because of a connection pool queue timeout"]
      )
      yield* Fiber.interrupt(first)
      yield* snapshotter.run(request)
    })
  )

  it.live("because its session is ended in between is known to pass", () =>
    Effect.gen(function* () {
      const request = new Collected().request(yield* define("items"))
      const error = yield* Effect.flip(
        run({
          ...request,
          sink: {
            ...request.sink,
            write: () => Effect.never
          },
          onSnapshot: () => Effect.as(endSessions, "go" as const)
        })
      )
      assert.strictEqual(error.kind, "unavailable")
    })
  )
})

const endSessions = Effect.promise(() =>
  db().query(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'baton snapshot'",
    [db().name]
  )
)

/** Our sessions in this database. */
const ours = () =>
  db().query<{ pid: number; xact_start: Date | null }>(
    "SELECT pid, xact_start FROM pg_stat_activity WHERE datname = $1 AND application_name = 'baton snapshot'",
    [db().name]
  )

describe("sessions", () => {
  it.live("that were lost while idle are replaced unnoticed", () =>
    Effect.gen(function* () {
      const sessions = yield* sessionsOf(db(), { size: 1 })
      const snapshotter = makeSnapshotter(sessions, 1000, systemTimers)
      const request = new Collected().request(yield* define("empty"))
      for (let i = 0; i < 3; i++) {
        yield* snapshotter.run(request)
        yield* endSessions
      }
    })
  )

  it.live("that turn out to be dead only when they are used are replaced as well", () =>
    Effect.gen(function* () {
      let isCut = false
      const connections = new Set<Socket>()
      const proxy = createServer((client) => {
        const server = connect(db().port, db().host)
        const cutsLater = !isCut
        client.on("data", (bytes) => {
          if (isCut && cutsLater) client.destroy()
          else server.write(bytes)
        })
        server.on("data", (bytes) => client.write(bytes))
        for (const [end, other] of [
          [client, server],
          [server, client]
        ] as const) {
          connections.add(end)
          end.on("error", () => {})
          end.on("close", () => other.destroy())
        }
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))),
        () =>
          Effect.sync(() => {
            for (const connection of connections) connection.destroy()
            proxy.close()
          })
      )
      const { port } = proxy.address() as AddressInfo
      const sessions = yield* sessionsOf(db(), { size: 1, target: { host: "127.0.0.1", port } })
      const snapshotter = makeSnapshotter(sessions, 1000, systemTimers)
      const request = new Collected().request(yield* define("empty"))
      yield* snapshotter.run(request)
      isCut = true
      yield* snapshotter.run(request)
    })
  )

  it.live("are used again, and closed with the service", () =>
    Effect.gen(function* () {
      const request = new Collected().request(yield* define("items"))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sessions = yield* sessionsOf(db())
          const snapshotter = makeSnapshotter(sessions, 1000, systemTimers)
          const pids = new Set<number>()
          for (let i = 0; i < 5; i++) {
            yield* snapshotter.run(request)
            const [session, ...others] = yield* Effect.promise(ours)
            assert.deepStrictEqual(others, [])
            assert.isNull(session?.xact_start)
            pids.add(session?.pid ?? 0)
          }
          assert.strictEqual(pids.size, 1)
        })
      )
      yield* Effect.promise(() => eventually("the session to end", async () => (await ours()).length === 0))
    })
  )
})
