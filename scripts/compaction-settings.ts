/**
 * What the thresholds of compaction cost and save: rows of about 400 bytes are updated at random, and after every so many bytes the
 * compactor looks at all shapes.
 *
 *   node scripts/compaction-settings.ts [--bytes 40000000] [--seed N]
 *
 * For each setting: bytes that compaction has written for each byte of changes, its processor time for each megabyte of changes, how
 * often it was done, and what a newcomer would have been given, for each byte of the rows, on the average of all looks.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Compactor } from "../src/storage/compaction/Compactor.ts"
import { rowBytesOf } from "../src/storage/compaction/Policy.ts"
import { bytesBehind, firstRowsBytes, rowsAt } from "../src/storage/compaction/ShapeLook.ts"
import { openStorage, writeUpdates } from "../testing/compaction/LargeLog.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values } = parseArgs({
  options: {
    bytes: { type: "string", default: "40000000" },
    seed: { type: "string", default: String(freshSeed()) }
  }
})

interface Setting {
  readonly shapes: number
  readonly rows: number
  readonly garbagePercent: number
  readonly leastKibibytes: number
  readonly roundBytes: number
}

const measure = async (setting: Setting): Promise<void> => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-compaction-settings-"))
  const engine = await openStorage(directory)
  const compactor = new Compactor(engine, {
    garbagePercent: setting.garbagePercent,
    leastBytes: setting.leastKibibytes * 1024,
    retentionMillis: 1e9,
    retentionPercent: 1e6,
    share: 1,
    budget: 16 << 20,
    removalDelayMillis: 0
  })
  const bytes = Number(values.bytes)
  let cpuMillis = 0
  let given = 0
  let looks = 0
  const look = async (): Promise<void> => {
    const before = process.cpuUsage()
    await compactor.sweep()
    const { system, user } = process.cpuUsage(before)
    cpuMillis += (system + user) / 1000
    looks++
    for (const shape of engine.store.all())
      given +=
        rowBytesOf({ compaction: shape.compaction, firstRowsBytes: firstRowsBytes(shape) }) +
        bytesBehind(shape, rowsAt(shape))
  }
  const { roundBytes, rows, shapes } = setting
  try {
    await writeUpdates(engine, { shapes, rows, bytes, roundBytes }, makeRandom(Number(values.seed)), look)
    const live = shapes * rows * rowBytes
    const { bases, folds, writtenBytes } = engine.compactions
    process.stdout.write(
      `${shapes} x ${rows} rows, ${setting.garbagePercent} %, ${setting.leastKibibytes} KiB: ` +
        `${(writtenBytes / bytes).toFixed(2)} bytes written per byte of changes, ${((1e6 * cpuMillis) / bytes).toFixed(1)} ms per MB, ` +
        `${bases} bases, ${folds} folds, a newcomer is given ${(given / looks / live).toFixed(2)} x the rows\n`
    )
    await engine.close()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Of a row of those that are written here, as first rows have it. */
const rowBytes = 410

for (const garbagePercent of [25, 50, 100, 200, 400])
  await measure({ shapes: 1, rows: 5000, garbagePercent, leastKibibytes: 256, roundBytes: 500_000 })
for (const leastKibibytes of [16, 64, 256, 1024])
  await measure({ shapes: 100, rows: 10, garbagePercent: 100, leastKibibytes, roundBytes: 1_000_000 })
