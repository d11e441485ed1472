import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { patient } from "../../testing/Load.ts"
import { createDatabase } from "../../testing/postgres/Database.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { keptReleases, type OldRelease, unpackRelease } from "../../testing/releases/Releases.ts"
import type { HandoverKind } from "../../testing/runs/HandoverEvents.ts"
import { handoverRuns } from "../../testing/runs/HandoverRuns.ts"

/** Which of the instances that are started, one after the other, are of the old release. */
type Order = (started: number) => boolean

describe.each(keptReleases)("release %s and this one, on one storage directory", (version) => {
  let old: OldRelease
  beforeAll(async () => {
    old = await unpackRelease(version)
  })
  afterAll(() => old[Symbol.dispose]())

  const hands = async (kinds: ReadonlyArray<HandoverKind>, instances: number, isOld: Order) => {
    const database = await createDatabase()
    const storageDir = mkdtempSync(path.join(tmpdir(), "baton-releases-"))
    onTestFinished(async () => {
      await database.drop()
      rmSync(storageDir, { recursive: true, force: true })
    })
    const seed = freshSeed()
    const said: Array<string> = []
    const report = await handoverRuns({
      cluster: undefined,
      databaseUrl: database.url,
      streamId: database.streamId,
      storageDir,
      entryOf: (started) => (isOld(started) ? old.entry : undefined),
      kinds,
      instances,
      clients: 8,
      shapes: 4,
      perSecond: 100,
      boundMillis: patient(2000),
      // The journal is moved to log files while it goes from hand to hand.
      segmentBytes: 2 ** 19,
      compareEvery: kinds.length,
      random: makeRandom(seed),
      say: (text) => said.push(text)
    })
    assert.deepStrictEqual(report.problems, [], `with seed ${seed}\n${said.join("\n")}`)
    assert.strictEqual(report.events.length, kinds.length)
  }

  it(
    "upgrade, rollback, upgrade again: no client notices",
    { timeout: patient(180_000) },
    // An old one, then new and old in turn: each upgrade ends the older of the two that run.
    () => hands(["upgrade", "upgrade", "upgrade"], 1, (started) => started % 2 === 0)
  )

  it("crashes while several of both are there", { timeout: patient(180_000) }, () =>
    hands(["killActive", "upgrade", "killAll"], 3, (started) => started % 2 === 1)
  )
})
