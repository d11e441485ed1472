/**
 * What filtering costs: `npx node scripts/bench/where.ts`. Prints one table. An embedded Postgres is started for its
 * catalogue only; nothing that is measured talks to it.
 */
import { Result } from "effect"
import { column, table as tableOf } from "../../testing/postgres/TableInfos.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { typeCatalogue } from "./support/TypeCatalogueOf.ts"
import {
  clearMatchList,
  compileWhere,
  FilterIndex,
  makeMatchList,
  makeRunnable,
  type CompiledWhere
} from "../../src/where/index.ts"

const catalogue = await typeCatalogue()

const columns = {
  id: "int4",
  tenant: "int4",
  status: "text",
  title: "text",
  amount: "numeric",
  created: "timestamptz",
  tags: "_text",
  price: "float8",
  meta: "jsonb"
}
const table = tableOf(
  Object.entries(columns).map(([name, typeName]) => {
    const type = catalogue.typeNamed("pg_catalog", typeName)
    return column(name, { typeOid: type?.oid ?? 0, typeName, collationOid: type?.collation ?? 0 })
  }),
  { name: "items", primaryKey: ["id"] }
)
const relation = table.columns.map(({ name, typeOid }) => ({ name, typeOid }))
const rows = Array.from({ length: 1000 }, (_, i) =>
  tupleOf([
    String(i),
    String((i * 7919) % 100_000),
    ["open", "closed", "new"][i % 3] ?? "open",
    `The quick brown fox number ${i}`,
    `${i}.25`,
    "2024-02-29 12:34:56.789+00",
    `{a,b,x${i}}`,
    String(i * 1.5),
    `{"plan": "pro", "seats": ${i}}`
  ])
)

const compile = (sql: string): CompiledWhere => {
  const result = compileWhere({ sql, params: {}, table, catalogue })
  if (Result.isFailure(result)) throw new Error(`${sql}: ${result.failure.message}`)
  return result.success
}

const report = (what: string, value: number, unit: string): void => {
  console.log(`${what.padEnd(88)} ${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ${unit}`)
}

/** Microseconds per row, the better of two rounds. */
const matchMicros = (index: FilterIndex, count: number): number => {
  const out = makeMatchList()
  let best = Infinity
  for (let round = 0; round < 2; round++) {
    const started = performance.now()
    for (let i = 0; i < count; i++) {
      clearMatchList(out)
      const row = rows[i % rows.length]
      if (row !== undefined) index.match(row, out)
    }
    best = Math.min(best, ((performance.now() - started) * 1000) / count)
  }
  return best
}

console.log("New clauses")
for (let i = 0; i < 500; i++)
  compile(`tenant = ${i} AND status IN ('open', 'new') AND title ILIKE '%warm${i}%'`)
for (const [name, sql] of [
  ["tenant = k", (i: number) => `tenant = ${i}`],
  [
    "tenant = k AND status IN (…) AND title ILIKE …",
    (i: number) => `tenant = ${i} AND status IN ('open', 'new') AND title ILIKE '%fox${i}%'`
  ]
] as const) {
  const started = performance.now()
  for (let i = 0; i < 1000; i++) makeRunnable(compile(sql(i)), relation)
  report(`  text to runnable: ${name}`, performance.now() - started, "µs")
}

console.log("100,000 shapes: tenant = k")
const first = compile("tenant = 1")
const stored = Array.from({ length: 100_000 }, (_, i) => {
  const copy = JSON.parse(JSON.stringify(first)) as { sql: string; expression: { constants: Array<string> } }
  copy.expression.constants = [String(i)]
  return copy
})
let started = performance.now()
const runnable = stored.map((clause) => makeRunnable(clause, relation))
report("  stored clauses made runnable, all of them", performance.now() - started, "ms")
const index = new FilterIndex(relation)
started = performance.now()
for (const [id, clause] of runnable.entries()) index.add(id, clause)
report("  add", (performance.now() - started) / 100, "µs")
report("  match one row", matchMicros(index, 200_000), "µs")
started = performance.now()
for (const id of runnable.keys()) index.remove(id)
report("  remove", (performance.now() - started) / 100, "µs")

console.log("10,000 shapes, match one row")
const indexed: ReadonlyArray<readonly [string, (i: number) => string]> = [
  [
    "tenant = k AND status IN (…) AND title ILIKE …",
    (i) => `tenant = ${i * 10} AND status IN ('open', 'new') AND title ILIKE '%fox%'`
  ],
  ["id BETWEEN k AND k + 3", (i) => `id BETWEEN ${i} AND ${i + 3}`],
  ["tags @> '{xk}'", (i) => `tags @> '{x${i}}'`],
  ["meta ->> 'seats' = 'k'", (i) => `meta ->> 'seats' = '${i}'`],
  ["id IN (ten values)", (i) => `id IN (${Array.from({ length: 10 }, (_, n) => i + n * 1000).join(", ")})`]
]
for (const [name, sql] of indexed) {
  const filled = new FilterIndex(relation)
  for (let i = 0; i < 10_000; i++) filled.add(i, makeRunnable(compile(sql(i)), relation))
  report(`  ${name}`, matchMicros(filled, 50_000), "µs")
}

console.log("Evaluations per second, clauses that no index answers, 10,000 at a time")
const evaluated: ReadonlyArray<readonly [string, (i: number) => string]> = [
  ["title ILIKE '%k%'", (i) => `title ILIKE '%num${i}%'`],
  ["title LIKE '%k_x'", (i) => `title LIKE '%${i}_x'`],
  ["title ~ '^The .* k$'", (i) => `title ~ '^The .* ${i % 100}$'`],
  ["id % 7 = k", (i) => `id % ${1 + (i % 13)} = ${i % 7}`],
  ["id + k > 20000", (i) => `id + ${i} > 20000`],
  ["amount * 2 > k.5", (i) => `amount * ${1 + (i % 9)} > ${i}.5`],
  ["price * k > 100", (i) => `price * ${i} > 100`],
  ["created + interval 'k days' > …", (i) => `created + interval '${i % 100} days' > '2024-03-01'`],
  [
    "CASE WHEN status = 'open' THEN id > k ELSE false END",
    (i) => `CASE WHEN status = 'open' THEN id > ${i} ELSE false END`
  ],
  ["meta @> '{\"seats\": k}'", (i) => `meta @> '{"seats": ${i}}'`]
]
for (const [name, sql] of evaluated) {
  const filled = new FilterIndex(relation)
  for (let i = 0; i < 10_000; i++) filled.add(i, makeRunnable(compile(sql(i)), relation))
  report(`  ${name}`, 10_000 / matchMicros(filled, 100), "million/s")
}
