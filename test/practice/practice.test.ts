import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Metric } from "effect"
import { goThroughTakeover } from "../../src/practice/GoThroughTakeover.ts"
import type { PracticeDatabase } from "../../src/practice/PracticeServices.ts"
import { practiceShape } from "../../src/practice/PracticeTable.ts"
import { SnapshotFailed } from "../../src/registry/ShapeRegistry.ts"
import { Snapshotter } from "../../src/registry/snapshot/Snapshotter.ts"
import { parseLsn, zeroServerLsn } from "../../src/shared/Lsn.ts"
import { testConfig } from "../http/support/harness.ts"

const walLsn = parseLsn("1/2000000") ?? zeroServerLsn
const snapshot = { xmin: 2n ** 33n, xmax: 2n ** 33n + 1n, xipList: [], walLsn, containedBefore: walLsn }
const rows = '{"key":"1","value":{"oid":"1","amname":"a"},"headers":{"operation":"insert"}},'

/** A place of its own, a database that gives rows, and what was seen of both. */
const practising = async (database: Partial<PracticeDatabase> = {}) => {
  const directory = await mkdtemp(join(tmpdir(), "practice-test-"))
  const looks: Array<string> = []
  const lines: Array<unknown> = []
  const made: Array<unknown> = []
  let filesMeanwhile = 0
  const metrics = new Map()
  const work = goThroughTakeover(
    // What it connects with counts for the database alone.
    testConfig({ database: { ...testConfig().database, sslMode: "require" } }),
    {
      admin: {
        size: 1,
        query: (sql) => {
          looks.push(sql)
          return Effect.succeed([])
        }
      },
      snapshotter: Snapshotter.of({
        run: ({ definition, onSnapshot, sink }) =>
          Effect.gen(function* () {
            filesMeanwhile = (yield* Effect.promise(() => readdir(directory, { recursive: true }))).length
            made.push(definition)
            assert.strictEqual(yield* onSnapshot(snapshot), "go")
            yield* sink.write(Buffer.from(`${rows}{"headers":{"control":"snapshot-end"}}`))
            yield* sink.end()
          })
      }),
      ...database
    },
    directory
  )
  const exit = await Effect.runPromise(
    Effect.exit(work).pipe(
      Effect.provideService(Metric.MetricRegistry, metrics),
      Effect.provide(Logger.layer([Logger.make(({ message }) => lines.push(message))]))
    )
  )
  const left = await readdir(directory)
  await rm(directory, { recursive: true })
  return { exit, filesMeanwhile, left, lines, looks, made, metrics }
}

describe("a takeover for practice", () => {
  it("comes to its end: a shape is made, a transaction acknowledged, the lock given back", async () => {
    const { exit, filesMeanwhile, left, looks, made } = await practising()
    assert.isTrue(Exit.isSuccess(exit), String(exit))
    assert.deepStrictEqual(made, [practiceShape])
    assert.isAbove(filesMeanwhile, 0)
    assert.deepStrictEqual(left, [])
    assert.isAbove(looks.length, 0)
  })

  it("says nothing, counts nothing, and alters nothing", async () => {
    const { lines, looks, metrics } = await practising()
    assert.deepStrictEqual(lines, [])
    assert.strictEqual(metrics.size, 0)
    for (const sql of looks)
      assert.notMatch(sql, /emit_message|terminate_backend|^\s*(ALTER|CREATE|INSERT|UPDATE|DELETE)/i)
  })

  it("leaves nothing behind where the database does not answer", async () => {
    const away = new SnapshotFailed({ kind: "unavailable", message: "made up" })
    const { exit, left, lines, metrics } = await practising({
      snapshotter: Snapshotter.of({ run: () => Effect.fail(away) })
    })
    assert.isTrue(Exit.isFailure(exit))
    assert.deepStrictEqual(left, [])
    assert.deepStrictEqual(lines, [])
    assert.strictEqual(metrics.size, 0)
  })
})
