/**
 * Soak of what can become of a database: standbys are promoted, with the last transactions and without them, backups are restored,
 * clusters take the place of others, databases are made anew, slots are dropped, while readers follow shapes of every kind.
 * No answer may be 409, and all have to hold what `SELECT` gives after each.
 *
 *   npx node scripts/other-history.ts [--rounds 50] [--bucket] [--workers 2] [--kinds promote,lose] [--seed N]
 *
 * In two rounds of five whoever compares shapes is killed in the middle; in three of ten another instance waits, and takes over.
 */
import { parseArgs } from "node:util"
import { historyKinds, historyRuns } from "../test/faults/support/historyRuns.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "50" },
    bucket: { type: "boolean", default: false },
    workers: { type: "string", default: "0" },
    kinds: { type: "string", default: historyKinds.join() },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seed = Number(options.seed)
say(`Seed ${seed}`)
const wanted = options.kinds.split(",")
try {
  const report = await historyRuns({
    rounds: Number(options.rounds),
    kinds: historyKinds.filter((kind) => wanted.includes(kind)),
    inBucket: options.bucket,
    workers: Number(options.workers),
    random: makeRandom(seed),
    say
  })
  say(`PASSED: ${JSON.stringify(report)}`)
} catch (error) {
  say(`FAILED with seed ${seed}: ${String(error)}`)
  process.exitCode = 1
}
process.exit()
