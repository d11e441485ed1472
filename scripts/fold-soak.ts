import { parseArgs } from "node:util"
import { checkRandomFold } from "../testing/compaction/CheckFold.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

/**
 * Folds random histories at random places, again and again, and holds every reader of them against a plain fold:
 * `npx node scripts/fold-soak.ts --cases 1000000`. Ends with the first history for which that does not hold, and its seed.
 */
const { values } = parseArgs({
  options: { cases: { type: "string", default: "1000000" }, seed: { type: "string" } }
})
const cases = Number(values.cases)
const first = values.seed === undefined ? freshSeed() : Number(values.seed)
const began = performance.now()
const shown = Math.max(1, Math.floor(cases / 10))

for (let n = 0; n < cases; n++) {
  const random = makeRandom(first + n)
  try {
    // Most are short: what goes wrong does so with few messages, too.
    await checkRandomFold(random, random.chance(0.05) ? 40 : 10)
  } catch (error) {
    console.error(`With --seed ${first + n} --cases 1: ${String(error)}`)
    process.exit(1)
  }
  if ((n + 1) % shown === 0)
    console.log(
      `${n + 1} histories from seed ${first} on, in ${((performance.now() - began) / 1000).toFixed(0)} s: all right`
    )
}
