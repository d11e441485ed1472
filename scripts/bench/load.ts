/**
 * What a start takes to read a storage directory with very many shapes, in processor time and memory: the process that is measured does
 * nothing else.
 *
 *     npx node scripts/bench/load.ts --write 200000 [--level 2] <directory>    as the service writes it, one after the other
 *     npx node --expose-gc scripts/bench/load.ts <directory>
 *
 * An embedded Postgres is started for its catalogue only, while storage is written. The files of the shapes are not read.
 */
import { parseArgs } from "node:util"
import { Effect, Result } from "effect"
import { makeDefinition } from "../../src/shapes/MakeDefinition.ts"
import { Maintenance } from "../../src/storage/Maintenance.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { ownLevels } from "../../src/storage/levels/Levels.ts"
import { compileWhere } from "../../src/where/index.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { definitionOf, knownKinds, modelsBegin } from "./support/KnownKinds.ts"
import { typeCatalogue } from "./support/TypeCatalogueOf.ts"
import { writeShapes } from "./support/WrittenShapes.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { write: { type: "string" }, level: { type: "string", default: String(ownLevels.newest) } }
})
const [directory] = positionals
if (directory === undefined) throw new Error("node scripts/bench/load.ts [--write <shapes>] <directory>")

/** With so few shapes, too, most of the journal is moved, and the rest tells of the moves. */
const bytesPerShape = 400
const segments = 6

const engineFor = (segmentBytes: number) =>
  new StorageEngine({
    paths: storagePaths(directory, "default"),
    chunkBytesThreshold: 10 << 20,
    segmentBytes,
    recentBytes: 32 << 20,
    durableWrites: false,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect)
  })

const write = async (count: number): Promise<void> => {
  const [kind] = knownKinds
  if (kind === undefined) throw new Error("There is no kind of condition.")
  const catalogue = await typeCatalogue()
  const table = tableOf([column("id", { typeOid: 20 }), column("v", { typeOid: 23, typeName: "int4" })], {
    name: "known",
    primaryKey: ["id"]
  })
  const where = compileWhere({ sql: kind.where(modelsBegin), params: {}, table, catalogue })
  if (Result.isFailure(where)) throw new Error(where.failure.message)
  const model = makeDefinition(table, {
    selection: { columns: table.columns, selectsAll: true },
    where: where.success,
    replica: "default",
    log: "full"
  })
  const engine = engineFor(Math.ceil((count * bytesPerShape) / segments))
  await engine.load()
  await engine.takeOver()
  engine.writing?.write({ t: "level", level: Number(values.level), release: "0.2.0" })
  const like = engine.store.create(1, "1-1", model, 0)
  await writeShapes(engine, like, count, (k) => definitionOf(kind, [model], k))
  await engine.writer?.durable()
  const maintenance = new Maintenance(engine, {
    retainedSegments: 1,
    retainedEntries: 10_000_000,
    removalDelayMillis: 0,
    meta: { synchronous: "OFF", cacheBytes: 8 << 20 }
  })
  await Effect.runPromise(Effect.scoped(maintenance.round()))
  await engine.close()
}

const load = async (): Promise<void> => {
  const engine = engineFor(32 << 20)
  const before = process.cpuUsage()
  await engine.load()
  const { system, user } = process.cpuUsage(before)
  const { count, level } = engine.store
  const most = process.resourceUsage().maxRSS / 1024
  for (let i = 0; i < 3; i++) void globalThis.gc?.()
  console.log(
    `${count} shapes at level ${level}: ${((user + system) / 1000).toFixed(0)} ms of processor time, ${((user + system) / count).toFixed(1)} us each; ` +
      `${most.toFixed(0)} MiB at most, ${(process.memoryUsage().rss / (1 << 20)).toFixed(0)} afterwards`
  )
  await engine.close()
}

if (values.write === undefined) await load()
else await write(Number(values.write))
