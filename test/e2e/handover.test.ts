import { afterAll, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type { HandoverKind } from "../../testing/runs/HandoverEvents.ts"
import { handoverRuns } from "../../testing/runs/HandoverRuns.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { patient } from "../../testing/Load.ts"

// Of its own, because it is restarted.
let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster({ settings: { fsync: "off", full_page_writes: "off" } })
})
afterAll(() => cluster.destroy())

const usualSegmentBytes = 32 * 2 ** 20
/** The journal is moved to log files while handovers go on. */
const smallSegmentBytes = 2 ** 19

const hands = async (
  kinds: ReadonlyArray<HandoverKind>,
  instances: number,
  clients: number,
  shapes: number,
  segmentBytes: number
): Promise<void> => {
  const { host, password, port, user } = cluster
  const database = await createDatabase({ host, password, port, user })
  const storageDir = mkdtempSync(path.join(tmpdir(), "baton-handover-"))
  onTestFinished(async () => {
    await database.drop()
    rmSync(storageDir, { recursive: true, force: true })
  })
  const seed = freshSeed()
  const said: Array<string> = []
  const report = await handoverRuns({
    cluster,
    databaseUrl: database.url,
    streamId: database.streamId,
    storageDir,
    kinds,
    instances,
    clients,
    shapes,
    perSecond: 200,
    // An instance that has to wait for its turn to run must not be taken for one that hangs.
    boundMillis: patient(1500),
    segmentBytes,
    compareEvery: kinds.length,
    random: makeRandom(seed),
    say: (text) => said.push(text)
  })
  assert.deepStrictEqual(report.problems, [], `with seed ${seed}\n${said.join("\n")}`)
  assert.strictEqual(report.events.length, kinds.length)
  assert.isAbove(report.operationsSeen, 1000)
}

describe("instances behind a balancer, with writers and official clients", () => {
  it(
    "upgrade, kills, a freeze and a restart of Postgres: no client notices",
    { timeout: patient(240_000) },
    () =>
      hands(["upgrade", "killActive", "freeze", "restartPostgres", "killAll"], 2, 12, 6, smallSegmentBytes)
  )

  it("three instances, and a database that cannot be reached", { timeout: patient(180_000) }, () =>
    hands(["killWaiting", "cutDatabase", "blackHole", "upgrade"], 3, 8, 4, usualSegmentBytes)
  )
})
