/**
 * Brings about each fault of `testing/faults` in a real service on a real Postgres, and looks whether an operator is told of it within
 * 30 s: by one line of the log with its code, by a metric, and by a line of `baton doctor`.
 *
 *   npx node scripts/inject-faults.ts [word ...]     only those whose name or code has one of the words
 */
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { FaultScene } from "../testing/faults/FaultScene.ts"
import { injections } from "../testing/faults/Injections.ts"
import { observeFault, problemWith } from "../testing/faults/ObserveFault.ts"

const words = process.argv.slice(2).map((word) => word.toLowerCase())
const wanted = injections.filter(
  ({ code, name }) =>
    words.length === 0 || words.some((word) => `${name} ${code}`.toLowerCase().includes(word))
)
const say = (text: string) => process.stdout.write(`${text}\n`)

const cluster = await startCluster({
  settings: { fsync: "off", max_connections: "200", max_wal_senders: "50", max_replication_slots: "50" }
})
const began = performance.now()
let failed = 0
let skipped = 0
try {
  for (const injection of wanted) {
    const { code, inject, isPossible, name } = injection
    if (isPossible?.() === false) {
      skipped++
      say(`skipped   ${name}: this machine does not allow it`)
      continue
    }
    const scene = new FaultScene(cluster)
    try {
      const watched = await inject(scene)
      const observed = await observeFault(watched, injection)
      const problem = problemWith(observed)
      const took = `${(observed.millis / 1000).toFixed(1)} s`
      if (problem === undefined) {
        say(
          `named     ${observed.code.padEnd(27)} ${took.padStart(7)}  ${observed.metric?.padEnd(7)}  ${name}`
        )
      } else {
        failed++
        say(`NOT NAMED ${code.padEnd(27)} ${took.padStart(7)}  ${name}: ${problem}`)
        say(watched.service.logs().slice(-3000))
      }
    } catch (error) {
      failed++
      say(`FAILED    ${code.padEnd(27)} ${name}: ${String(error)}`)
    } finally {
      await scene.end()
    }
  }
} finally {
  await cluster.destroy()
}
say(
  `${wanted.length - failed - skipped} of ${wanted.length} faults named, ${skipped} skipped, in ${Math.round((performance.now() - began) / 1000)} s`
)
process.exit(failed === 0 ? 0 : 1)
