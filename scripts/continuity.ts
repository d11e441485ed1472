/**
 * Whatever happens to the database: rounds of random events (slots and publications that are dropped, altered or lost, kills, handovers,
 * databases that restart, fail over, are restored from a backup or move to another cluster) while others write. After each, raw readers, the official client and TanStack DB hold exactly the
 * rows that Postgres selects, `baton verify` finds no difference, and nobody had to start over.
 *
 *   npx node scripts/continuity.ts [--rounds 1000] [--minutes 60] [--only slotDropped,killed] [--seed N] [--set BATON_SHAPE_DORMANT_AFTER=1s]
 *
 * A SIGTERM ends it after the round that it is in.
 */
import { parseArgs } from "node:util"
import { type ContinuityEvent, continuityEvents } from "../testing/continuity/Events.ts"
import { continuityRounds } from "../testing/continuity/Rounds.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "1000" },
    minutes: { type: "string", default: "Infinity" },
    only: { type: "string" },
    set: { type: "string", multiple: true, default: [] },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const known = Object.keys(continuityEvents) as ReadonlyArray<ContinuityEvent>
const kinds = options.only?.split(",").map((name) => {
  const kind = known.find((it) => it === name)
  if (kind === undefined) throw new Error(`--only takes ${known.join(", ")}; what is ${name}?`)
  return kind
})
const seed = Number(options.seed)
const random = makeRandom(seed)
const say = (text: string) => process.stdout.write(`${text}\n`)
say(`Seed ${seed}`)
const stop = new AbortController()
// What has been seen until then counts, and nothing is left behind.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
const { problems, ...figures } = await continuityRounds({
  events: Array.from({ length: Number(options.rounds) }, () => random.pick(kinds ?? known)),
  random,
  say,
  settings: Object.fromEntries(
    options.set.map((setting) => {
      const [name = "", ...value] = setting.split("=")
      return [name, value.join("=")]
    })
  ),
  limitMillis: Number(options.minutes) * 60_000,
  stop: stop.signal
})
for (const problem of problems) say(problem)
say(`${problems.length === 0 ? "PASSED" : `FAILED with seed ${seed}`}: ${JSON.stringify(figures)}`)
process.exit(problems.length === 0 ? 0 : 1)
