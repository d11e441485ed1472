/**
 * What a change costs between the socket and the journal, without Postgres and without HTTP:
 * `npx node scripts/bench/pipeline.ts [--rows 400000] [--shapes 100] [--update] [--only 10] [--bucket] [--socket] [--traced]`. Everything that runs in the
 * service runs here (frames, decoding, filters, encoding, journal with fsync, acknowledgement, log files), fed with the
 * bytes that Postgres would send. Processor time of all threads is what counts: it hardly depends on other work.
 * With `--bucket` each run is followed by one whose journal is put into a bucket in memory: what that costs without the requests.
 * With `--socket` the bytes come from another process through a socket, as they do from Postgres: what that costs on top.
 * `--profile <file>` writes a processor profile of the last run, without what leads up to it.
 * `--members`: shapes by membership, `tenant IN (SELECT project FROM members WHERE usr = k)`, each of 20 projects of its own.
 * With `--traced` each is followed by one in which every hundredth transaction is traced, and sent to a collector in this process.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Context, Effect, Exit, Layer, Redacted, Result, Scope } from "effect"
import type { OtlpConfig } from "../../src/config/OtlpConfig.ts"
import { measureStream } from "../../src/instance/measured/MeasuredStream.ts"
import { Metrics } from "../../src/telemetry/Metrics.ts"
import { exportOptions } from "../../src/telemetry/otel/ExportOptions.ts"
import { otlpLayer } from "../../src/telemetry/otel/OtlpLayers.ts"
import { Collector } from "../../testing/services/Collector.ts"
import { standardLimits } from "../../src/config/Limits.ts"
import { makeClauseMatcher } from "../../src/registry/routing/Matcher.ts"
import type { MemberSink } from "../../src/registry/routing/MemberSink.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import { RowRouter } from "../../src/registry/routing/RowRouter.ts"
import { Transport } from "../../src/postgres/connection/Transport.ts"
import type { ReplicationSession } from "../../src/replication/connection/ReplicationSession.ts"
import { replicationReadBytes, StreamTap } from "../../src/replication/connection/StreamTap.ts"
import { StreamPump } from "../../src/replication/stream/StreamPump.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { Chain } from "../../src/storage/chain/Chain.ts"
import { BucketDurability } from "../../src/storage/durability/BucketDurability.ts"
import { LocalJournal } from "../../src/storage/mirror/LocalJournal.ts"
import { ObjectsSinceCheckpoint } from "../../src/storage/mirror/ObjectsSinceCheckpoint.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { type StoragePaths, storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { compileWhere, type WhereClause } from "../../src/where/index.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { MemoryStore } from "../../testing/bucket/MemoryStore.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { columns, streamBytes, type StreamBytesOptions, tableOid } from "./support/StreamBytes.ts"
import { startHelper } from "./support/Fork.ts"
import { memberClauses, memberLane } from "./support/MemberLane.ts"
import { typeCatalogue } from "./support/TypeCatalogueOf.ts"

/** No shape here has sub-selects. */
const noMembers: MemberSink = {
  shapes: new Set(),
  has: () => false,
  adopt: () => false,
  mend: () => {},
  hasPassed: () => false,
  removeShape: () => {},
  startAt: () => {},
  trust: () => {},
  relation: () => [],
  detach: () => {},
  begin: () => {},
  change: () => undefined,
  truncate: () => {},
  commit: () => undefined,
  committed: () => {},
  received: () => {},
  close: () => {}
}

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "400000" },
    shapes: { type: "string", default: "100" },
    update: { type: "boolean", default: false },
    only: { type: "string" },
    bucket: { type: "boolean", default: false },
    traced: { type: "boolean", default: false },
    socket: { type: "boolean", default: false },
    members: { type: "boolean", default: false },
    profile: { type: "string" },
    rounds: { type: "string", default: "3" }
  }
})
const rows = Number(flags.rows)
const shapeCount = Number(flags.shapes)

const table = tableOf(
  columns.map(([name, typeName, typeOid]) =>
    column(name, { typeOid, typeName, collationOid: typeOid === 25 ? 100 : 0 })
  ),
  { oid: tableOid, name: "items", primaryKey: ["id"] }
)

const whereTenantIsOne = await (async () => {
  const catalogue = await typeCatalogue()
  const compiled = compileWhere({ sql: "tenant = 1", params: {}, table, catalogue })
  if (Result.isFailure(compiled)) throw new Error(compiled.failure.message)
  return compiled.success
})()

const memberWheres = flags.members ? await memberClauses(table, shapeCount) : undefined

const whereOf = (tenant: number): WhereClause => {
  const member = memberWheres?.[tenant]
  if (member !== undefined) return member
  const where = structuredClone(whereTenantIsOne) as typeof whereTenantIsOne & {
    sql: string
    expression: { constants: Array<string> }
  }
  where.sql = `tenant = ${tenant}`
  where.expression.constants = [String(tenant)]
  return where
}

const definitionOf = (tenant: number): ShapeDefinition => {
  return {
    table,
    keyColumns: ["id"],
    hasPrimaryKey: true,
    columns: columns.map(([name]) => name),
    selectsAllColumns: true,
    where: whereOf(tenant),
    whereColumns: ["tenant"],
    replica: "default",
    log: "full",
    tableColumns: columns.map(([name, , typeOid]) => ({ name, typeOid })),
    schemaHeader: "{}"
  }
}

interface Feed {
  readonly session: ReplicationSession
  /** Sends everything. What was sent need not have been taken when it ends. */
  readonly run: () => Promise<void>
  readonly close: () => Promise<void>
}

const inMemory = (options: StreamBytesOptions): Feed => {
  const pieces = [...streamBytes(options)]
  let paused = false
  let resumed: (() => void) | undefined
  let receive: ((chunk: Buffer) => void) | undefined
  const session = {
    stream: {
      writable: true,
      write: () => true,
      pause: () => (paused = true),
      resume: () => {
        paused = false
        resumed?.()
      }
    },
    tap: { attach: (reader: (chunk: Buffer) => void) => (receive = reader), toOriginal: () => {} },
    onFailure: () => {},
    startReplication: () => {}
  } as unknown as ReplicationSession
  const run = async () => {
    for (const piece of pieces) {
      receive?.(piece)
      if (paused) {
        await new Promise<void>((resolve) => {
          resumed = resolve
        })
        resumed = undefined
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { session, run, close: () => Promise.resolve() }
}

const fromSocket = async (options: StreamBytesOptions): Promise<Feed> => {
  const host = mkdtempSync(path.join(os.tmpdir(), "baton-pipeline-"))
  const json = JSON.stringify({ ...options, firstLsn: String(options.firstLsn) })
  const helper = await startHelper("streamServer.ts", [host, json])
  const stream = new Transport({
    host,
    port: 5432,
    sslMode: "disable",
    caCertificateFile: undefined,
    preferIpv6: false,
    keepAliveIdleMillis: 30_000,
    readBufferBytes: replicationReadBytes
  })
  const connected = new Promise((resolve) => stream.once("connect", resolve))
  const session = {
    stream,
    tap: new StreamTap(stream),
    onFailure: () => {},
    startReplication: () => {}
  } as unknown as ReplicationSession
  return {
    session,
    run: async () => void (await connected),
    close: async () => {
      stream.destroy()
      await helper.stop()
      rmSync(host, { recursive: true, force: true })
    }
  }
}

/** Gives what ends the profile and writes it. */
const startProfile = async (): Promise<() => Promise<void>> => {
  const session = new Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 200 })
  await session.post("Profiler.start")
  return async () => {
    const { profile } = await session.post("Profiler.stop")
    session.disconnect()
    writeFileSync(flags.profile ?? "", JSON.stringify(profile))
  }
}

const alone = () => Promise.resolve()

/** Storage of which a bucket in memory has a copy. Nobody else writes there. */
const inBucket = (paths: StoragePaths) => {
  const store = new MemoryStore()
  const timers = systemTimers
  const chain = new Chain({ store, timers })
  const journal = new LocalJournal(paths)
  const objects = new ObjectsSinceCheckpoint()
  const context = { store, chain, paths, journal, objects, timers, warn: console.warn }
  return {
    bucket: store,
    durability: new BucketDurability({
      context,
      mirror: { catchUp: alone, pause: alone, resume: alone },
      flushMillis: 250,
      url: "http://127.0.0.1"
    })
  }
}

type Variant = "" | "bucket" | "traced"

/** What the service counts, and traces of it what is asked for. */
const measured = async (engine: StorageEngine, share: number | undefined) => {
  const scope = Scope.makeUnsafe()
  const collector = await Collector.start()
  const otlp: OtlpConfig = {
    traces: `${collector.url}/v1/traces`,
    metrics: undefined,
    logs: undefined,
    headers: Redacted.make({}),
    protocol: "protobuf",
    compression: "gzip",
    metricsMillis: 30_000,
    sampledShare: share ?? 0,
    excludedSpans: [],
    dropsEmpty: false,
    printsSpans: false
  }
  const options = exportOptions(otlp, { serviceName: "pipeline", attributes: {} }, "pipeline")
  const telemetry = share === undefined ? Layer.empty : otlpLayer(otlp, options)
  const measuring = Effect.gen(function* () {
    const context = yield* Layer.build(telemetry)
    const measures = Effect.flatMap(Metrics, (metrics) => measureStream(engine, metrics))
    return yield* Effect.provideContext(
      measures,
      Context.merge(yield* Effect.context<Scope.Scope>(), context)
    )
  })
  const { ofSession } = await Effect.runPromise(Effect.provideService(measuring, Scope.Scope, scope))
  const close = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await collector[Symbol.asyncDispose]()
    return collector.requests.reduce((bytes, { body }) => bytes + body.length, 0)
  }
  return { ofSession, close }
}

const run = async (rowsEach: number, matches: boolean, variant: Variant): Promise<string> => {
  const hasBucket = variant === "bucket"
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-pipeline-"))
  const paths = storagePaths(directory, "default")
  const engine = new StorageEngine({
    paths,
    ...(hasBucket ? inBucket(paths) : {}),
    chunkBytesThreshold: 10 << 20,
    segmentBytes: 64 << 20,
    recentBytes: 32 << 20,
    durableWrites: !hasBucket,
    removeOnClose: true,
    run: (effect) => void Effect.runPromise(effect)
  })
  await engine.load()
  await engine.takeOver()
  const { writer } = engine
  if (writer === undefined) throw new Error("Storage was not taken over.")
  const shapes = engine.store.byTable
  const pumps: Array<StreamPump> = []
  const measures = await measured(engine, variant === "traced" ? 0.01 : undefined)
  const byMembership = flags.members ? memberLane(engine, writer) : undefined
  const router = new RowRouter({
    ...measures.ofSession,
    engine,
    writer,
    shapes,
    members: byMembership?.lane ?? noMembers,
    makeMatcher: makeClauseMatcher(standardLimits),
    prepared: new PreparedRoutes(makeClauseMatcher(standardLimits)),
    ancestors: () => Effect.succeed([]),
    published: () => Effect.void,
    decide: () => Effect.die(new Error("Nothing here is for Postgres to decide.")),
    decisionMillis: standardLimits.decisionMillis,
    drop: () => {
      throw new Error("No shape should be dropped.")
    },
    identityLost: () => {},
    onDurable: () => pumps[0]?.status.notify()
  })
  for (let tenant = 0; tenant < shapeCount; tenant++) {
    const id = engine.store.nextId
    engine.writing?.write({
      t: "created",
      id,
      handle: `${id}-1`,
      definition: definitionOf(tenant),
      atMillis: 0
    })
    engine.writing?.write({ t: "visible", id, visibility: { xmin: "10", xmax: "10", xipList: [] } })
    engine.writing?.write({ t: "complete", id, chunks: 0 })
    const shape = engine.store.get(id)
    if (shape !== undefined) shapes.add(shape)
  }
  byMembership?.enterAll([...engine.store.all()].toSorted((a, b) => a.id - b.id))
  await writer.durable()

  const bytes = {
    rows,
    shapes: byMembership?.tenants(shapeCount) ?? shapeCount,
    update: flags.update,
    rowsEach,
    firstTenant: matches ? 0 : 1_000_000,
    firstLsn: 1_000_000n
  }
  const lastLsn = bytes.firstLsn + 1000n * BigInt(Math.ceil(rows / rowsEach))
  const feed = flags.socket ? await fromSocket(bytes) : inMemory(bytes)
  const { session } = feed
  const pump = new StreamPump(session, {
    sink: router,
    onStarted: Effect.void,
    maxTransactionBytes: Number.MAX_SAFE_INTEGER,
    statusIntervalMillis: 10_000,
    timers: systemTimers,
    shift: 0n
  })
  pumps.push(pump)
  const profile = flags.profile === undefined ? undefined : await startProfile()
  const began = performance.now()
  const cpu = process.cpuUsage()
  pump.start("")
  const fiber = Effect.runFork(
    Effect.gen(function* () {
      while (true) {
        const pending = yield* pump.next
        yield* pending
        pump.proceed()
      }
    })
  )

  await feed.run()
  while (engine.processedLsn < lastLsn) await new Promise((resolve) => setTimeout(resolve, 2))
  await writer.durable()
  const used = process.cpuUsage(cpu)
  const millis = performance.now() - began
  await profile?.()
  await Effect.runPromise(router.handBack)
  let found = 0
  for (const shape of engine.store.all()) found += shape.tail?.count ?? 0
  if (found !== (matches ? rows : 0)) throw new Error(`${found} entries instead of ${rows}.`)
  fiber.interruptUnsafe()
  pump.stop()
  await feed.close()
  router.close()
  const exportedBytes = await measures.close()
  await engine.close()
  rmSync(directory, { recursive: true, force: true })
  return (
    `${(used.user / rows).toFixed(2)} us user + ${(used.system / rows).toFixed(2)} us system per row, ` +
    `${Math.round((rows * 1000) / millis).toLocaleString("en")} rows/s` +
    (variant === "traced" ? `, ${exportedBytes} bytes of spans` : "")
  )
}

const shown = { "": "", bucket: ", with a bucket", traced: ", 1 % traced" }
console.log(
  `${rows} ${flags.update ? "updates" : "inserts"}, ${shapeCount} shapes ${flags.members ? "by membership" : "`tenant = k`"}`
)
for (const [rowsEach, matches] of [
  [50_000, true],
  [10, true],
  [1, true],
  [50_000, false],
  [1, false]
] as const) {
  const name = `${rowsEach}${matches ? "" : "n"}`
  if (flags.only !== undefined && flags.only !== name) continue
  for (let round = 0; round < Number(flags.rounds); round++) {
    const variants: ReadonlyArray<Variant> = [
      "",
      ...(flags.bucket ? ["bucket" as const] : []),
      ...(flags.traced ? ["traced" as const] : [])
    ]
    for (const variant of variants)
      console.log(
        `${rowsEach} per transaction${matches ? "" : ", matching nothing"}${shown[variant]}: ${await run(rowsEach, matches, variant)}`
      )
  }
}
process.exit(0)
