import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, it, onTestFinished } from "vitest"
import { patient } from "../../testing/Load.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { bucketRuns } from "../../testing/runs/BucketRuns.ts"

it(
  "instances that share a bucket and no disk hand over, are killed, frozen and join with an empty disk: no client notices",
  { timeout: patient(120_000) },
  async () => {
    const database = await createDatabase()
    const directory = mkdtempSync(path.join(tmpdir(), "baton-machines-"))
    onTestFinished(async () => {
      await database.drop()
      rmSync(directory, { recursive: true, force: true })
    })
    const seed = freshSeed()
    const said: Array<string> = []
    const report = await bucketRuns({
      cluster: undefined,
      databaseUrl: database.url,
      streamId: database.streamId,
      directory,
      kinds: ["upgrade", "killActive", "third", "freeze"],
      putMillis: 100,
      emptyDisks: 0,
      env: {},
      instances: 2,
      clients: 6,
      followers: 2,
      perSecond: 100,
      // An instance that has to wait for its turn to run must not be taken for one that hangs.
      boundMillis: patient(1500),
      segmentBytes: 2 ** 18,
      compareEvery: 4,
      random: makeRandom(seed),
      say: (text) => said.push(text)
    })
    assert.deepStrictEqual(report.problems, [], `with seed ${seed}\n${said.join("\n")}`)
    assert.strictEqual(report.events.length, 4)
    assert.isAbove(report.operationsSeen, 500)
    assert.isAbove(report.requests.create.requests, 20)
    if (process.env["BATON_TEST_SAYS"] !== undefined) console.log(said.join("\n"))
  }
)
