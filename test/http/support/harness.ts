import { Effect, Layer, Redacted, Result, Stream } from "effect"
import { type BatonConfig, Config } from "../../../src/config/BatonConfig.ts"
import { parseConfig } from "../../../src/config/ParseConfig.ts"
import { HealthRef } from "../../../src/health/HealthRef.ts"
import { replyHeader, type ApiReply } from "../../../src/http/reply/ApiReply.ts"
import { type ApiRequest, BodyTooLarge } from "../../../src/http/request/ApiRequest.ts"
import { replyStream } from "../../../src/http/mount/ReplyStream.ts"
import { wholeReply } from "../../../src/http/shape/Answer.ts"
import { Conditions } from "../../../src/http/shape/Conditions.ts"
import { ShapeApi, type ShapeApiOptions } from "../../../src/http/shape/ShapeApi.ts"
import { Inspector } from "../../../src/postgres/catalogue/Inspector.ts"
import { ownPgError } from "../../../src/postgres/errors/PgError.ts"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import * as TableInfos from "../../../testing/postgres/TableInfos.ts"
import { ShapeRegistry } from "../../../src/registry/ShapeRegistry.ts"
import {
  SubsetReader,
  type SubsetSnapshot,
  SubsetUnavailable
} from "../../../src/registry/subset/SubsetReader.ts"
import { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { ShapeLogs } from "../../../src/storage/ShapeLogs.ts"
import { FakeStore } from "./FakeStore.ts"

const base = parseConfig({ DATABASE_URL: "postgresql://u:p@localhost:5432/none", ELECTRIC_INSECURE: "true" })

/** Defaults of the configuration, any free port, on this machine only. */
export const testConfig = (overrides: Partial<BatonConfig> = {}): BatonConfig => {
  if (Result.isFailure(base) || base.success._tag !== "Complete") throw new Error("the defaults do not parse")
  return { ...base.success.config, port: 0, listenHost: "127.0.0.1", ...overrides }
}

export const secret = (text: string) => Redacted.make(text)

export const table = (
  name: string,
  columns: ReadonlyArray<string>,
  primaryKey: ReadonlyArray<string>,
  oid = 16_384
): TableInfo =>
  TableInfos.table(
    columns.map((columnName) =>
      TableInfos.column(
        columnName,
        columnName === "id"
          ? { typeName: "int8", typeOid: 20, notNull: true }
          : { generated: columnName.startsWith("gen") ? "stored" : "no" }
      )
    ),
    { oid, name, primaryKey }
  )

export interface HarnessOptions<R = never> extends ShapeApiOptions<R> {
  readonly config?: Partial<BatonConfig>
  readonly conditions?: Conditions["Service"]
  readonly subsets?: SubsetReader["Service"]
  readonly serverVersionNum?: number
  /** Where a replica hands requests on to. */
  readonly writerUrl?: () => string | undefined
}

/** A `ShapeApi` over a store in memory, with the tables `items`, `nopk` and `gen`. */
export const apiLayer = <R = never>(store: FakeStore, options: HarnessOptions<R> = {}) => {
  store.tables.set("public.items", table("items", ["id", "name", "qty"], ["id"]))
  store.tables.set("public.nopk", table("nopk", ["a", "b", "c"], [], 16_390))
  store.tables.set("public.gen", table("gen", ["id", "gen_a"], ["id"], 16_391))
  store.tables.set("public.empty", table("empty", [], [], 16_392))
  return ShapeApi.layer(options).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Config, testConfig(options.config)),
        Layer.effect(
          ShapeLogs,
          Effect.map(Effect.context<never>(), (context) => {
            store.run = Effect.runForkWith(context)
            return store.logs
          })
        ),
        Layer.succeed(ShapeRegistry, store.registry),
        Layer.mock(Storage)({
          // Nothing asks it anything here but where it stands: not in a bucket.
          engine: Object.create(StorageEngine.prototype, {
            bucketStatus: { value: undefined }
          }) as StorageEngine,
          writerUrl: options.writerUrl ?? (() => undefined),
          level: Effect.succeed({
            level: 2,
            newest: 3,
            oldestRelease: "0.1.0",
            because: "an older release may still be brought back",
            untilMillis: Date.UTC(2026, 0, 2)
          })
        }),
        Layer.mock(Inspector)({
          table: (schema, name) =>
            Effect.suspend(() =>
              store.catalogueDown
                ? Effect.fail(ownPgError("connection_refused", "no connection"))
                : Effect.succeed(store.tables.get(`${schema}.${name}`))
            ),
          whyAbsent: () => Effect.succeed(undefined),
          tableNow: (schema, name) =>
            Effect.suspend(() => {
              store.catalogueReads++
              if (store.catalogueDown) return Effect.fail(ownPgError("connection_refused", "no connection"))
              const key = `${schema}.${name}`
              const now = store.tablesNow.get(key)
              if (now === "gone") store.tables.delete(key)
              else if (now !== undefined) store.tables.set(key, now)
              return Effect.succeed(store.tables.get(key))
            }),
          remembered: (schema, name) => store.tables.get(`${schema}.${name}`),
          rememberedByOid: () => undefined,
          isFresh: () => !store.catalogueDown,
          all: () => [...store.tables.values()],
          restore: () => {},
          invalidate: () => {},
          serverVersionNum: () => options.serverVersionNum ?? 170_000
        }),
        options.conditions === undefined
          ? Conditions.layerNone
          : Layer.succeed(Conditions, options.conditions),
        Layer.succeed(
          SubsetReader,
          options.subsets ?? {
            read: () => Effect.fail(new SubsetUnavailable({ message: "Database connection not available" }))
          }
        ),
        HealthRef.layer
      )
    )
  )
}

export interface Received {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly headers: ReadonlyArray<string>
  readonly text: string
  readonly json: () => unknown
  readonly reply: ApiReply
}

const bodyText = Effect.fnUntraced(function* (reply: ApiReply) {
  return Buffer.concat(yield* Stream.runCollect(replyStream(reply.body))).toString("utf8")
})

export interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export const requestOf = (target: string, asked: Asked = {}): ApiRequest => ({
  method: asked.method ?? "GET",
  target,
  header: (name) => asked.headers?.[name],
  headers: () => asked.headers ?? {},
  body: (maxBytes) =>
    Effect.suspend(() => {
      const bytes = Buffer.from(asked.body ?? "")
      return bytes.length > maxBytes ? Effect.fail(new BodyTooLarge()) : Effect.succeed(bytes)
    })
})

/** The rows of a subset's answer. */
export const rowsOf = (...texts: ReadonlyArray<string>): Pick<SubsetSnapshot, "rows" | "byteLength"> => ({
  rows: async function* () {
    yield* texts.map((text) => Buffer.from(text))
  },
  byteLength: Buffer.byteLength(texts.join(""))
})

/** Asks the API and reads the whole body. */
export const ask = Effect.fnUntraced(function* (target: string, asked: Asked = {}) {
  const api = yield* ShapeApi
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const made = yield* wholeReply(api.handle(requestOf(target, asked)))
      if ("_tag" in made) throw new Error("a stream of events does not end")
      const reply = made
      const text = yield* Effect.orDie(bodyText(reply))
      const received: Received = {
        status: reply.status,
        header: (name) => replyHeader(reply, name),
        headers: reply.headers,
        text,
        json: () => JSON.parse(text),
        reply
      }
      return received
    })
  )
})

/** Brings a fresh instance into the state that serves and creates shapes. */
export const activate = Effect.gen(function* () {
  const health = yield* HealthRef
  yield* health.send("storageLoaded")
  yield* health.send("lockGranted")
  yield* health.send("streamStarted")
})
