/**
 * Compacts the log of one large shape, and says what that takes: time, processor time (of all, and of the event loop's thread),
 * memory, temporary files, and by how much the event loop was late. The log is written through the journal to files, as the service
 * does; a process of its own compacts it, and then reads the shape as a newcomer does.
 *
 *   node scripts/large-log.ts [--megabytes 1024] [--share 0.25] [--here] [--seed N]
 *
 * `--share`: of the time, so much is worked (1: without rests). `--here`: not in a thread of its own.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { parseArgs } from "node:util"
import { beforeAll } from "../src/shapes/LogOffset.ts"
import { systemTimers } from "../src/shared/Timers.ts"
import { Compactor } from "../src/storage/compaction/Compactor.ts"
import { FoldAside } from "../src/storage/compaction/FoldAside.ts"
import { readBytes } from "../src/storage/compaction/ReadWholeLog.ts"
import { MessageTexts } from "../src/storage/records/MessageTexts.ts"
import { makeShapeLogs } from "../src/storage/ShapeLogsLive.ts"
import { type Held, openStorage, writeLargeLog } from "../testing/compaction/LargeLog.ts"
import { freshSeed, makeRandom } from "../testing/Random.ts"

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "1024" },
    share: { type: "string", default: "0.25" },
    here: { type: "boolean", default: false },
    seed: { type: "string", default: String(freshSeed()) },
    /** Of the process that compacts: what was written. */
    directory: { type: "string" },
    held: { type: "string" }
  }
})

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`
const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`
const say = (text: string) => process.stdout.write(`${text}\n`)

const bytesIn = (directory: string, which: RegExp): number =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => which.test(file))
    .reduce((sum, file) => {
      // It may be gone by now.
      const state = statSync(path.join(directory, file), { throwIfNoEntry: false })
      return sum + (state?.isFile() === true ? state.size : 0)
    }, 0)

const peakBytes = (): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? Number.NaN) * 1024

const millisOf = ({ system, user }: NodeJS.CpuUsage): number => (system + user) / 1000

const compact = async (directory: string, held: Held): Promise<void> => {
  const engine = await openStorage(directory)
  const [shape] = Array.from(engine.store.all())
  if (shape === undefined) throw new Error("there is no shape")
  const before = peakBytes()
  const aside = values.here ? undefined : new FoldAside(systemTimers)
  const compactor = new Compactor(engine, {
    garbagePercent: 100,
    leastBytes: 1 << 18,
    retentionMillis: 1e9,
    retentionPercent: 1e6,
    share: Number(values.share),
    budget: 16 << 20,
    removalDelayMillis: 0,
    ...(aside === undefined ? {} : { aside })
  })
  let spilled = 0
  const looking = setInterval(() => void (spilled = Math.max(spilled, bytesIn(directory, /\.tmp$/))), 5000)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const cpu = process.cpuUsage()
  const ownCpu = process.threadCpuUsage()
  const began = performance.now()
  await compactor.sweep()
  const millis = performance.now() - began
  const own = millisOf(process.threadCpuUsage(ownCpu))
  const all = millisOf(process.cpuUsage(cpu))
  delay.disable()
  clearInterval(looking)
  aside?.end()
  say(
    `compacted in ${seconds(millis)}: ${seconds(all)} of a processor, of which ${seconds(own)} of the event loop's thread; ` +
      `peak of memory ${mebibytes(peakBytes())}, ${mebibytes(before)} before; temporary files up to ${mebibytes(spilled)}; ` +
      `the event loop was late by ${(delay.percentile(50) / 1e6 - 1).toFixed(1)} ms (p50), ${(delay.percentile(99) / 1e6 - 1).toFixed(1)} ms (p99), ${(delay.max / 1e6 - 1).toFixed(0)} ms at most`
  )
  const { bases, folds, writtenBytes } = engine.compactions
  say(`${folds} folded logs, ${bases} bases, ${mebibytes(writtenBytes)} written`)
  let rows = 0
  let sum = 0
  const texts = new MessageTexts()
  await readBytes(makeShapeLogs(engine), shape, beforeAll, shape.end, async (piece) => {
    for (const text of texts.of(piece)) {
      const version = /"v":"(\d+)"/.exec(text)?.[1]
      if (version === undefined) continue
      rows++
      sum += Number(version)
    }
  })
  if (rows !== held.rows || sum !== held.sum)
    throw new Error(`a newcomer gets ${rows} rows (${sum}), not ${held.rows} (${held.sum})`)
  say(`a newcomer gets the ${rows} rows, and nothing else`)
  await engine.close()
}

const make = async (): Promise<void> => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-large-log-"))
  try {
    const began = performance.now()
    const engine = await openStorage(directory)
    const held = await writeLargeLog(
      engine,
      Number(values.megabytes) * 2 ** 20,
      makeRandom(Number(values.seed))
    )
    await engine.close()
    say(
      `${mebibytes(bytesIn(directory, /shapes\//))} of a log for ${held.rows} rows, in ${seconds(performance.now() - began)}, seed ${values.seed}`
    )
    const found = ["--directory", directory, "--held", JSON.stringify(held)]
    const child = fork(import.meta.filename, process.argv.slice(2).concat(found))
    const [code] = await once(child, "exit")
    process.exitCode = code === 0 ? 0 : 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

await (values.directory === undefined || values.held === undefined
  ? make()
  : compact(values.directory, JSON.parse(values.held) as Held))
