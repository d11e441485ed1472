/**
 * Compares shapes of a busy service with the database, one comparison after the other, slowly enough that logs are compacted in the
 * middle of each. Nothing may be found: every difference is one that there is not.
 *
 *   npx node scripts/verify-soak.ts [--rounds 30] [--rate 500] [--per-second 200] [--seed N]
 */
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { askShape, FaultScene } from "../testing/faults/FaultScene.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"
import { createTables, startWriteLoad } from "../testing/runs/WriteLoad.ts"
import { verifyShapes } from "../testing/services/VerifyShapes.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "30" },
    rate: { type: "string", default: "500" },
    "per-second": { type: "string", default: "200" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const shapes: ReadonlyArray<Readonly<Record<string, string>>> = [
  { table: "items" },
  { table: "items", replica: "full", columns: "id,a" },
  { table: "items", where: "v % 2 = 0" },
  { table: "items", where: "a LIKE '%1%' OR b IS NULL" },
  { table: "items", where: "v IN (SELECT v FROM others WHERE b IS NULL)" },
  { table: "others" }
]

const say = (text: string) => process.stdout.write(`${new Date().toISOString()} ${text}\n`)
say(`${options.rounds} rounds, seed ${options.seed}`)
const cluster = await startCluster()
const scene = new FaultScene(cluster)
let failed = 0
let again = 0
try {
  await scene.query("SELECT 1")
  await createTables(await scene.connect(), ["items", "others"], 200)
  const env = { BATON_COMPACTION_MIN_SIZE: "1", BATON_COMPACTION_GARBAGE: "1" }
  const watched = await scene.start({ env })
  for (const shape of shapes) await askShape(watched, shape)
  const load = startWriteLoad({
    url: scene.url,
    tables: ["items", "others"],
    writers: 3,
    perSecond: Number(options["per-second"]),
    random: makeRandom(Number(options.seed))
  })
  for (let round = 1; round <= Number(options.rounds); round++) {
    const { report, status, text } = await verifyShapes(watched.service.url, { rate: options.rate })
    const { compared, total } = report.shapes
    again += report.skipped.length
    if (status !== 0 || compared + report.skipped.length !== total) {
      failed++
      say(`round ${round}, status ${status}: ${text}`)
    } else if (round % 5 === 0)
      say(
        `round ${round}: ${report.rowsRead} rows read, ${compared} of ${total} shapes, ${load.committed()} transactions`
      )
    await sleep(100)
  }
  await load.stop()
} finally {
  await scene.end()
  await cluster.destroy()
}
say(`${failed} of ${options.rounds} comparisons found something, ${again} times a shape was left out`)
process.exit(failed === 0 ? 0 : 1)
