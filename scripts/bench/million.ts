/**
 * What very many conditions on one table take in the index that finds the shapes of a row, by their kind:
 * `npx node --expose-gc scripts/bench/million.ts [--shapes 1000000]`. Prints one table. Rows are decoded and looked up as in the
 * service; each is in one shape, which is checked. Then what a row takes that is in very many. An embedded Postgres is started for its catalogue only.
 */
import { Result } from "effect"
import { parseArgs } from "node:util"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import type { Tuple } from "../../src/postgres/Tuple.ts"
import {
  clearMatchList,
  compileWhere,
  FilterIndex,
  isStoredExpression,
  makeMatchList,
  makeRunnable,
  type WhereClause
} from "../../src/where/index.ts"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { type KnownKind, knownKinds, modelsBegin, withDiffering } from "./support/KnownKinds.ts"
import { typeCatalogue } from "./support/TypeCatalogueOf.ts"

const { values } = parseArgs({ options: { shapes: { type: "string", default: "1000000" } } })
const shapes = Number(values.shapes)
const rounds = 3
const rowsEach = 100_000
const catalogue = await typeCatalogue()

/** The columns of a kind, as its statement for Postgres has them. */
const tableFor = (columns: string) =>
  tableOf(
    ["id bigint", ...columns.split(", ")].map((text) => {
      const [name = "", typeText = ""] = text.split(" ")
      const typeName = { bigint: "int8", integer: "int4", text: "text", "text[]": "_text" }[typeText] ?? ""
      const type = catalogue.typeNamed("pg_catalog", typeName)
      return column(name, { typeOid: type?.oid ?? 0, typeName, collationOid: type?.collation ?? 0 })
    }),
    { name: "known", primaryKey: ["id"] }
  )

/** Shapes 1 to `count`, whose first rows are there. */
const storeOf = (count: number): ShapeStore => {
  const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 10 << 20 })
  const { name, oid, schema } = tableFor("v integer")
  const definition = {
    table: { oid, schema, name },
    keyColumns: ["id"],
    hasPrimaryKey: true,
    columns: ["id", "v"],
    selectsAllColumns: true,
    where: undefined,
    replica: "default",
    log: "full",
    tableColumns: [{ name: "id", typeOid: 20 }],
    schemaHeader: "{}"
  } as const
  for (let id = 1; id <= count; id++) {
    store.apply({ t: "created", id, handle: `${id}-${1_000_000_000_000 + id}`, definition, atMillis: 1 })
    store.apply({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    store.inlineChunk(id, 0, 1, 8, 10)
    store.apply({ t: "complete", id, chunks: 1 })
  }
  return store
}

const collect = (): NodeJS.MemoryUsage => {
  if (globalThis.gc === undefined) throw new Error("node --expose-gc scripts/bench/million.ts")
  for (let i = 0; i < 3; i++) void globalThis.gc()
  return process.memoryUsage()
}

console.log(
  `${shapes} shapes of one table: bytes for each, added in, a row looked up in (best of ${rounds}), with 1,000 shapes`
)
const measure = (kind: KnownKind): string => {
  const table = tableFor(kind.columns)
  const relation = table.columns.map(({ name, typeOid }) => ({ name, typeOid }))
  const models = Array.from({ length: kind.forms }, (_, form): WhereClause => {
    const compiled = compileWhere({ sql: kind.where(modelsBegin + form), params: {}, table, catalogue })
    if (Result.isFailure(compiled)) throw new Error(compiled.failure.message)
    return compiled.success
  })
  const clauseOf = (k: number): WhereClause => {
    const model = models[k % kind.forms]
    if (model === undefined || !isStoredExpression(model.expression)) throw new Error("no clause")
    return withDiffering(model, kind.differing(modelsBegin + (k % kind.forms)), kind.differing(k))
  }
  const rowOf = (k: number): Tuple => tupleOf([String(k), ...kind.rowOf(k)])
  /** Microseconds per row, the best of some rounds. */
  const lookedUp = (index: FilterIndex, of: number): number => {
    const rows = Array.from({ length: 1000 }, (_, i) => (i * 7919) % of).map((k) => ({ k, row: rowOf(k) }))
    const out = makeMatchList()
    let best = Infinity
    for (let round = 0; round < rounds; round++) {
      const began = process.cpuUsage()
      for (let i = 0; i < rowsEach; i++) {
        const { k, row } = rows[i % rows.length] ?? { k: -1, row: rowOf(0) }
        clearMatchList(out)
        index.match(row, out)
        if (out.count !== 1 || out.ids[0] !== k)
          throw new Error(`${kind.name}: row ${k} is in ${out.count} shapes`)
      }
      const { system, user } = process.cpuUsage(began)
      best = Math.min(best, (system + user) / rowsEach)
    }
    return best
  }
  const filled = (count: number) => {
    const index = new FilterIndex(relation)
    for (let k = 0; k < count; k++) index.add(k, makeRunnable(clauseOf(k), relation))
    return index
  }
  const few = lookedUp(filled(1000), 1000)
  const before = collect()
  const began = process.cpuUsage()
  const index = filled(shapes)
  const { system, user } = process.cpuUsage(began)
  const after = collect()
  const bytes = (after.heapUsed + after.external - before.heapUsed - before.external) / shapes
  return (
    `${kind.name.padEnd(32)} ${bytes.toFixed(0).padStart(5)} bytes ${((system + user) / shapes).toFixed(1).padStart(6)} us ` +
    `${lookedUp(index, shapes).toFixed(2).padStart(6)} us ${few.toFixed(2).padStart(6)} us`
  )
}

for (const kind of knownKinds) console.log(measure(kind))

/** Microseconds for each shape of a row that is in all of so many, from the journal's list of them to what their readers are given. */
const placed = (count: number): ReadonlyArray<number> => {
  const store = storeOf(count)
  const ids = Uint32Array.from({ length: count }, (_, i) => i + 1)
  const transactions = Math.ceil(2_000_000 / count)
  let lsn = 1000n
  return Array.from({ length: rounds }, () => {
    const began = process.cpuUsage()
    for (let i = 0; i < transactions; i++) {
      lsn += 400n
      store.item(0, i * 300, 300, ids, 0, count)
      store.commit(lsn, lsn + 8n, 1000, 1)
    }
    const { system, user } = process.cpuUsage(began)
    return (system + user) / (transactions * count)
  })
}

console.log(
  "\nA row in so many shapes: us for each of them, in rounds of 2,000,000 entries that all stay in memory"
)
for (const count of [1000, 10_000, 100_000])
  console.log(
    `${String(count).padStart(7)} ${placed(count)
      .map((micros) => micros.toFixed(3))
      .join(" ")}`
  )
process.exit(0)
