/**
 * What very many dormant shapes `v = k` of one table take in memory, by where it is, and what a change costs of one of them at random:
 * `npx node --expose-gc scripts/bench/dormant.ts [--shapes 1000000]`. No service runs; an embedded Postgres is started for its catalogue.
 */
import { Result } from "effect"
import { setTimeout as pause } from "node:timers/promises"
import { parseArgs } from "node:util"
import { standardLimits } from "../../src/config/Limits.ts"
import { makeClauseMatcher } from "../../src/registry/routing/Matcher.ts"
import { RouteTarget } from "../../src/registry/routing/TableRoute.ts"
import { makeDefinition } from "../../src/shapes/MakeDefinition.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { compileWhere } from "../../src/where/index.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { definitionOf, knownKinds, modelsBegin } from "./support/KnownKinds.ts"
import { typeCatalogue } from "./support/TypeCatalogueOf.ts"

const { values } = parseArgs({ options: { shapes: { type: "string", default: "1000000" } } })
const count = Number(values.shapes)
const rounds = 3
const changes = 400_000
const rowsEach = 10

const [kind] = knownKinds
if (kind === undefined || globalThis.gc === undefined)
  throw new Error("node --expose-gc scripts/bench/dormant.ts")
const collect = globalThis.gc
const table = tableOf([column("id", { typeOid: 20 }), column("v", { typeOid: 23, typeName: "int4" })], {
  name: "known",
  primaryKey: ["id"]
})
const where = compileWhere({
  sql: kind.where(modelsBegin),
  params: {},
  table,
  catalogue: await typeCatalogue()
})
if (Result.isFailure(where)) throw new Error(where.failure.message)
const model = makeDefinition(table, {
  selection: { columns: table.columns, selectsAll: true },
  where: where.success,
  replica: "default",
  log: "full"
})

const memory = (): NodeJS.MemoryUsage => {
  for (let i = 0; i < 4; i++) void collect()
  return process.memoryUsage()
}
let last = memory()
/** Bytes for each shape since this was asked before. */
const say = (what: string): void => {
  const now = memory()
  const heap = (now.heapUsed - last.heapUsed) / count
  const outside = (now.external - last.external) / count
  last = now
  console.log(`${what.padEnd(40)} ${heap.toFixed(0).padStart(5)} ${outside.toFixed(0).padStart(5)}`)
}
const cpuMicros = (): number => {
  const { system, user } = process.cpuUsage()
  return system + user
}

console.log(`${count} shapes, bytes for each: ${" ".repeat(14)} heap  outside`)
const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 10 << 20 })
for (let id = 1; id <= count; id++) {
  store.create(id, `${id}-${1_000_000_000_000 + id}`, definitionOf(kind, [model], id), 1)
  store.apply({ t: "visible", id, visibility: { xmin: "1000", xmax: "1000", xipList: [] } })
  store.apply({ t: "chunk", id, index: 0, bytes: 94, crc: 12_345_678 })
  store.apply({ t: "complete", id, chunks: 1 })
  if (id % 1000 === 0) store.sleep()
}
store.sleep()
say("what is known of them")
const columns = table.columns.map(({ name, typeOid }) => ({ name, typeOid, typeModifier: -1, isKey: false }))
const relation = {
  oid: table.oid,
  schema: table.schema,
  name: table.name,
  replicaIdentity: "f",
  columns
} as const
const target = new RouteTarget(table.oid, relation, makeClauseMatcher(standardLimits))
for (const shape of store.all()) target.add(shape)
say("what finds those of a row")

const ids = new Uint32Array(1)
let lsn = 1_000_000n
for (let round = 0; round < rounds; round++) {
  const began = cpuMicros()
  for (let first = 0; first < changes; first += rowsEach) {
    lsn += 400n
    for (let row = 0; row < rowsEach; row++) {
      ids[0] = 1 + (((first + row + round * changes) * 7919) % count)
      store.item(2 * row, 8 + (first + row) * 100, 100, ids, 0, 1)
    }
    store.commit(lsn, lsn + 8n, 2000, 1)
  }
  await pause(10)
  console.log(
    `${changes} changes at random: ${((cpuMicros() - began) / changes).toFixed(2)} us each, ` +
      `${count - store.dormant.count} of ${target.size} shapes are awake`
  )
}
if (!store.byTable.isEmpty) say("entries of those that were changed")
process.exit(0)
