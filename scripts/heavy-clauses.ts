/**
 * Checks that no clause holds the event loop up: random clauses made of what loops and grows, checked where the service would
 * check them (here, or aside in a thread), and evaluated on rows with long texts, large documents and arrays. Counts
 * processor time, so that a busy machine does not matter.
 *
 *   npx node scripts/heavy-clauses.ts [clauses = 100000] [first seed = 1] [DATABASE_URL]
 *
 * Without a database URL an embedded Postgres is started; only its catalogue is needed. Each clause that takes longer than
 * it may is printed with the seed that makes it again. `MOST_MILLIS` is what the event loop may be held (50), and
 * `MOST_ASIDE_MILLIS` what one check in a thread may take (2000; others wait for it whose clauses are large, nobody else).
 */
import { Effect } from "effect"
import { loadParser, replacedParsers } from "../src/where/parse/Parser.ts"
import { openScratchSchema } from "../testing/postgres/ScratchSchema.ts"
import { HeavyGenerator, heavyRows, heavyTable, tryHeavy } from "../test/where/support/heavy.ts"
import { oracleOver } from "../test/where/support/oracle.ts"
import { Random } from "../test/where/support/random.ts"

/** Processor time that is allowed; the least of several tries counts, since others use the machine too. */
const mostMillis = Number(process.env["MOST_MILLIS"] ?? "50")
const mostAsideMillis = Number(process.env["MOST_ASIDE_MILLIS"] ?? "2000")
const tries = 4

const wanted = Number(process.argv[2] ?? "100000")
const firstSeed = Number(process.argv[3] ?? "1")
const givenUrl = process.argv[4] ?? process.env["DATABASE_URL"]

await using scratch = await openScratchSchema("heavy_clauses", givenUrl)
const { session } = scratch
await Effect.runPromise(loadParser)
const heavy = await oracleOver(session, "heavy", heavyTable)
// The same for every run, so that a seed alone makes a clause and its time again.
const rows = heavyRows(new Random(1))
const counts = { refused: 0, undecided: 0, decided: 0, failed: 0, aside: 0, slow: 0 }
let costliest = 0
let costliestAside = 0
let printed = 0
const on = { ...heavy.table, table: heavy.table.info, catalogue: heavy.catalogue }
const trySeed = async (seed: number): Promise<void> => {
  const generator = new HeavyGenerator(new Random(seed))
  const sql = generator.clause()
  const least = { here: Infinity, aside: Infinity, row: Infinity }
  const isSlow = () => Math.max(least.here, least.row) > mostMillis || least.aside > mostAsideMillis
  for (let attempt = 0; attempt < tries && isSlow(); attempt++) {
    const outcome = tryHeavy(on, rows, sql, generator.params)
    await Effect.runPromise(loadParser)
    least.here = Math.min(least.here, outcome.hereMillis)
    least.aside = Math.min(least.aside, outcome.asideMillis)
    least.row = Math.min(least.row, outcome.rowMillis)
    if (attempt > 0) continue
    if (outcome.asideMillis > 0) counts.aside++
    if (outcome.refused !== undefined) counts.refused++
    for (const verdict of outcome.verdicts)
      if (verdict === "undecided") counts.undecided++
      else if (verdict === "failed") counts.failed++
      else counts.decided++
  }
  costliest = Math.max(costliest, least.here, least.row)
  costliestAside = Math.max(costliestAside, least.aside)
  if (!isSlow()) return
  counts.slow++
  const [here, aside, row] = [least.here, least.aside, least.row].map((millis) => `${millis.toFixed(0)} ms`)
  console.log(`seed ${seed}: checked here ${here}, aside ${aside}, row ${row}: ${sql.slice(0, 300)}`)
}

for (let seed = firstSeed; seed < firstSeed + wanted; seed++) {
  await trySeed(seed)
  if (Math.floor(((seed - firstSeed + 1) * 20) / wanted) <= printed) continue
  printed++
  console.log(
    `${seed - firstSeed + 1} clauses, ${JSON.stringify(counts)}, costliest ${costliest.toFixed(1)} ms on the event loop, ` +
      `${costliestAside.toFixed(0)} ms aside, ${Math.round(process.memoryUsage.rss() / 1e6)} MB, ` +
      `${replacedParsers()} parsers replaced`
  )
}
const isGood = counts.slow === 0 && replacedParsers() === 0
console.log(
  isGood
    ? `None of ${wanted} clauses holds the event loop for more than ${mostMillis} ms.`
    : `${counts.slow} of ${wanted} clauses took longer than they may; ${replacedParsers()} parsers were replaced.`
)
if (!isGood) process.exitCode = 1
