/**
 * Compares random clauses with Postgres until a number of comparisons is made.
 *
 *   npx node scripts/where-soak.ts [comparisons = 1000000] [first seed = 1] [DATABASE_URL]
 *
 * Without a database URL an embedded Postgres is started. Every difference is printed with the seed that
 * reproduces it: `npx node scripts/where-soak.ts 1 <seed>` runs that clause again on the same rows.
 */
import { Effect } from "effect"
import { loadParser } from "../src/where/parse/Parser.ts"
import { openScratchSchema } from "../testing/postgres/ScratchSchema.ts"
import { makeOracle, runOracle } from "../test/where/support/oracle.ts"

const wanted = Number(process.argv[2] ?? "1000000")
const firstSeed = Number(process.argv[3] ?? "1")
const givenUrl = process.argv[4] ?? process.env["DATABASE_URL"]

await using scratch = await openScratchSchema("where_soak", givenUrl)
const { session } = scratch
await Effect.runPromise(loadParser)
const oracle = await makeOracle(session)
const started = performance.now()
const result = await runOracle(oracle, firstSeed, wanted, 60, 50)
for (const one of result.differences) {
  console.log(`seed ${one.seed}: ${one.clause}\n  ${one.difference}`)
}
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(
  `${result.comparisons} comparisons, ${result.clauses} clauses, ${result.refused} refused, ` +
    `${result.undecided} left to Postgres, ${result.differences.length} differences, ${seconds} s`
)
if (result.differences.length > 0) process.exitCode = 1
