import {
  type Message,
  Shape,
  ShapeStream,
  type ShapeStreamInterface,
  type ShapeStreamOptions
} from "@electric-sql/client"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { SnapshotFailed } from "../../src/registry/ShapeRegistry.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, type HarnessOptions, rowsOf } from "./support/harness.ts"
import { eventually } from "./support/rawHttp.ts"

const row = (id: number, operation = "insert", lsn?: number) =>
  JSON.stringify({
    key: `"public"."items"/"${id}"`,
    value: { id: String(id), name: `n${id}` },
    headers: {
      operation,
      relation: ["public", "items"],
      ...(lsn === undefined ? {} : { lsn: String(lsn), txids: [lsn] })
    }
  })
const snapshotEnd = '{"headers":{"control":"snapshot-end","xmin":"1","xmax":"1","xip_list":[]}}'

/** A service with rows 1 and 2, and a client of the table in the given mode. */
const withClient = <E, R>(
  options: {
    readonly liveSse: boolean
    readonly mode?: "full" | "changes_only"
    readonly client?: Pick<ShapeStreamOptions, "fetchClient" | "backoffOptions">
  } & HarnessOptions,
  body: (context: {
    readonly store: FakeStore
    readonly server: HttpServer["Service"]
    readonly stream: ShapeStream<Row>
    readonly handle: () => string
  }) => Effect.Effect<void, E, R>
) => {
  const store = new FakeStore()
  store.snapshot = [[row(1)], [row(2), snapshotEnd]]
  return Effect.gen(function* () {
    yield* activate
    const server = yield* HttpServer
    const aborter = new AbortController()
    yield* Effect.addFinalizer(() => Effect.sync(() => aborter.abort()))
    const stream = new ShapeStream<Row>({
      url: `${server.url}/v1/shape`,
      params: { table: "items", columns: ["id", "name"] },
      liveSse: options.liveSse,
      ...(options.mode === undefined ? {} : { log: options.mode, offset: "now" as const }),
      signal: aborter.signal,
      ...options.client
    })
    yield* body({ store, server, stream, handle: () => [...store.shapes.keys()].at(-1) ?? "" })
  }).pipe(Effect.provide(HttpServer.layer.pipe(Layer.provideMerge(apiLayer(store, options)))), Effect.scoped)
}

type Row = { id: bigint; name: string }

/** The package's own types do not agree with each other under `exactOptionalPropertyTypes`. */
const shapeOf = (stream: ShapeStream<Row>): Shape<Row> =>
  new Shape(stream as unknown as ShapeStreamInterface<Row>)

const ids = (shape: Shape<Row>) =>
  shape.currentRows.map((current) => Number(current.id)).toSorted((a, b) => a - b)

for (const liveSse of [false, true])
  describe(`the official client, ${liveSse ? "event streams" : "long polls"}`, () => {
    it.live("syncs snapshot chunks, then changes, without asking for anything twice", () =>
      withClient({ liveSse }, ({ store, stream, handle }) =>
        Effect.gen(function* () {
          const shape = shapeOf(stream)
          yield* Effect.promise(() => shape.rows)
          assert.deepStrictEqual(ids(shape), [1, 2])
          for (let tx = 3; tx <= 6; tx++) {
            yield* eventually(() => store.waiting === 1, "the client is live")
            store.append(handle(), BigInt(tx * 100), [row(tx, "insert", tx * 100)])
            yield* eventually(() => ids(shape).includes(tx), `row ${tx}`)
          }
          assert.deepStrictEqual(ids(shape), [1, 2, 3, 4, 5, 6])
          assert.strictEqual(store.created, 1)
          assert.strictEqual(stream.shapeHandle, handle())
        })
      )
    )

    it.live("starts over when its shape is dropped", () =>
      withClient({ liveSse }, ({ store, stream, handle }) =>
        Effect.gen(function* () {
          const shape = shapeOf(stream)
          yield* Effect.promise(() => shape.rows)
          yield* eventually(() => store.waiting === 1, "the client is live")
          const first = handle()
          store.snapshot = [[row(9), snapshotEnd]]
          store.drop(first)
          yield* eventually(() => ids(shape).join() === "9", "the new rows", 10_000)
          assert.notStrictEqual(stream.shapeHandle, first)
        })
      )
    )

    it.live("waits as long as it is told when the service cannot answer yet", () =>
      withClient({ liveSse }, ({ store, stream }) =>
        Effect.gen(function* () {
          store.creationFails = new SnapshotFailed({ kind: "unexpected", message: "not yet" })
          const messages: Array<Message> = []
          stream.subscribe((batch) => void messages.push(...batch))
          yield* eventually(() => store.lookups > 0, "the first request")
          store.creationFails = undefined
          yield* eventually(() => stream.isUpToDate, "up to date in the end", 10_000)
          assert.isAbove(messages.length, 0)
        })
      )
    )

    it.live("comes back after a 503 when Retry-After says, not sooner", () => {
      const sent: Array<{ readonly atMillis: number; readonly status: number }> = []
      const fetchClient: typeof fetch = async (input, init) => {
        const atMillis = performance.now()
        const response = await fetch(input, init)
        sent.push({ atMillis, status: response.status })
        return response
      }
      const backoffOptions = { initialDelay: 1, maxDelay: 5, multiplier: 1.1 }
      return withClient({ liveSse, client: { fetchClient, backoffOptions } }, ({ store, stream }) =>
        Effect.gen(function* () {
          store.catalogueDown = true
          stream.subscribe(() => {})
          yield* eventually(() => sent.length === 1, "the first answer")
          store.catalogueDown = false
          yield* eventually(() => stream.isUpToDate, "up to date in the end", 5_000)
          const [first, second] = sent
          assert.strictEqual(first?.status, 503)
          assert.strictEqual(second?.status, 200)
          // What the service said is one second.
          assert.isAtLeast((second?.atMillis ?? 0) - (first?.atMillis ?? 0), 990)
        })
      )
    })

    it.live("loads subsets into a stream of changes", () => {
      const subsets = {
        read: () =>
          Effect.succeed({
            xmin: 10n,
            xmax: 10n,
            xipList: [],
            databaseLsn: 1000n,
            snapshotMark: 1,
            ...rowsOf(row(7))
          })
      }
      const conditions = {
        where: (_table: unknown, sql: string) => Effect.succeed({ sql, expression: null }),
        subset: () =>
          Effect.succeed({ where: undefined, orderBy: undefined, limit: undefined, offset: undefined })
      }
      return withClient({ liveSse, mode: "changes_only", subsets, conditions }, ({ store, stream, handle }) =>
        Effect.gen(function* () {
          const shape = shapeOf(stream)
          yield* eventually(() => store.waiting === 1, "the client is live")
          for (const method of ["GET", "POST"] as const)
            yield* Effect.promise(() =>
              stream.requestSnapshot({ where: "id = $1", params: { "1": "7" }, method })
            )
          assert.deepStrictEqual(ids(shape), [7])
          yield* eventually(() => store.waiting === 1, "the client is live again")
          store.append(handle(), 2000n, [row(8, "insert", 2000)])
          yield* eventually(() => ids(shape).join() === "7,8", "the change after the subset", 10_000)
        })
      )
    })
  })
