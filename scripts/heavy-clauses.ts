/**
 * Checks that no clause holds the process up: random clauses made of what loops and grows, evaluated on rows with long
 * texts, large documents and arrays. Counts processor time, so that a busy machine does not matter.
 *
 *   npx node scripts/heavy-clauses.ts [clauses = 100000] [first seed = 1] [DATABASE_URL]
 *
 * Without a database URL an embedded Postgres is started; only its catalogue is needed. Each clause that takes longer than
 * it may is printed with the seed that makes it again.
 */
import { Effect } from "effect"
import { loadParser, replacedParsers } from "../src/where/parse/parser.ts"
import { openScratchSchema } from "./support/ScratchSchema.ts"
import { HeavyGenerator, heavyRows, heavyTable, tryHeavy } from "../test/where/support/heavy.ts"
import { oracleOver } from "../test/where/support/oracle.ts"
import { Random } from "../test/where/support/random.ts"

/** Processor time that is allowed, for checking a clause and for a row; of several tries, since others use it too. */
const mostMillis = Number(process.env["MOST_MILLIS"] ?? "100")
const tries = 3

const wanted = Number(process.argv[2] ?? "100000")
const firstSeed = Number(process.argv[3] ?? "1")
const givenUrl = process.argv[4] ?? process.env["DATABASE_URL"]

await using scratch = await openScratchSchema("heavy_clauses", givenUrl)
const { session } = scratch
await Effect.runPromise(loadParser)
const heavy = await oracleOver(session, "heavy", heavyTable)
const rows = heavyRows(new Random(firstSeed))
const counts = { refused: 0, undecided: 0, decided: 0, failed: 0, slow: 0 }
let costliest = 0
let printed = 0
for (let seed = firstSeed; seed < firstSeed + wanted; seed++) {
  const generator = new HeavyGenerator(new Random(seed))
  const sql = generator.clause()
  let most = Infinity
  for (let attempt = 0; attempt < tries && most > mostMillis; attempt++) {
    const outcome = tryHeavy(
      { ...heavy.table, table: heavy.table.info, catalogue: heavy.catalogue },
      rows,
      sql,
      generator.params
    )
    await Effect.runPromise(loadParser)
    const millis = Math.max(outcome.compileMillis, outcome.rowMillis)
    if (attempt === 0) {
      if (outcome.refused !== undefined) counts.refused++
      for (const verdict of outcome.verdicts)
        if (verdict === "undecided") counts.undecided++
        else if (verdict === "failed") counts.failed++
        else counts.decided++
    }
    if (millis < most) most = millis
    if (attempt === tries - 1 && most > mostMillis) {
      counts.slow++
      console.log(
        `seed ${seed}: compile ${outcome.compileMillis.toFixed(0)} ms, row ${outcome.rowMillis.toFixed(0)} ms: ${sql.slice(0, 300)}`
      )
    }
  }
  costliest = Math.max(costliest, most)
  if (Math.floor(((seed - firstSeed + 1) * 20) / wanted) > printed) {
    printed++
    console.log(
      `${seed - firstSeed + 1} clauses, ${JSON.stringify(counts)}, costliest ${costliest.toFixed(1)} ms, ` +
        `${Math.round(process.memoryUsage.rss() / 1e6)} MB, ${replacedParsers()} parsers replaced`
    )
  }
}
if (counts.slow > 0 || replacedParsers() > 0) process.exitCode = 1
