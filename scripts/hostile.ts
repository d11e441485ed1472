/**
 * Attacks the service with requests of the wrong type, size, depth and shape, and ways around the secret. Every answer must
 * be a 4xx that tells nothing, and nothing may stay behind: no connection, no shape, no growing memory.
 *
 *   npx node scripts/hostile.ts [--seconds 60] [--attackers 16] [--seed N]
 */
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { createDatabase } from "../testing/postgres/Database.ts"
import { startService } from "../testing/services/Service.ts"
import { eventually } from "../testing/Eventually.ts"
import { hostileRuns, processState } from "../testing/runs/HostileRuns.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    attackers: { type: "string", default: "16" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const cluster = await startCluster()
const { host, password, port, user } = cluster
const database = await createDatabase({ host, password, port, user })
const secret = "the-secret-of-the-house"
let failed = false
try {
  await database.query(
    "CREATE TABLE victims (id int PRIMARY KEY, t text); INSERT INTO victims VALUES (1, 'kept')"
  )
  await using service = await startService({
    database,
    env: { ELECTRIC_SECRET: secret, ELECTRIC_INSECURE: undefined }
  })
  const target = { table: "victims", secret }
  const random = makeRandom(Number(options.seed))
  const attack = (seconds: number) =>
    hostileRuns({ port: service.port, target, random, seconds, attackers: Number(options.attackers) })
  say(`Before: ${JSON.stringify(processState(service.pid))}`)
  // The first round warms the process up, so that what it holds afterwards can be compared.
  const rounds = 4
  for (let round = 1; round <= rounds; round++) {
    const report = await attack(Number(options.seconds) / rounds)
    for (const [kind, answers] of Object.entries(report.answers)) say(`  ${kind}: ${JSON.stringify(answers)}`)
    for (const problem of report.problems) say(`  WRONG ${problem}`)
    if (report.problems.length > 0) failed = true
    const state = await eventually(
      "connections to be closed",
      () => {
        const now = processState(service.pid)
        return now === undefined || now.openFiles < 100 ? (now ?? { residentMiB: 0, openFiles: 0 }) : false
      },
      30_000
    )
    say(
      `Round ${round}: ${report.requests} requests, the slowest ${report.slowestMillis} ms; ` +
        `${state.residentMiB} MiB resident, ${state.openFiles} open files`
    )
  }
  const rows = await database.query("SELECT * FROM victims")
  if (JSON.stringify(rows) !== '[{"id":1,"t":"kept"}]') {
    failed = true
    say(`WRONG the table was changed: ${JSON.stringify(rows)}`)
  }
  if (service.logs().includes(secret)) {
    failed = true
    say("WRONG the secret is in the log")
  }
  const answer = await fetch(`${service.url}/v1/shape?table=victims&offset=-1&secret=${secret}`)
  if (answer.status !== 200) failed = true
  say(`Afterwards a request in order gets ${answer.status}`)
} finally {
  await database.drop()
  await cluster.destroy()
}
say(failed ? `FAILED with seed ${options.seed}` : "PASSED")
process.exit(failed ? 1 : 0)
