import { existsSync, readFileSync, rmSync } from "node:fs"
import * as path from "node:path"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { nowMillis, sleep } from "./support/Clock.ts"
import type { Database } from "./support/Cluster.ts"
import { floorSlot } from "./support/Drain.ts"
import { drainFloorName, drainMillis } from "./support/DrainFloor.ts"
import { startHelper } from "./support/Fork.ts"
import { quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import type { LoopDelay } from "./support/loopProbe.ts"
import { cpuMillis, peakRssBytes, resetPeak, rssBytes } from "./support/ProcessFacts.ts"
import { createSlot, dropSlot } from "./support/RawPostgres.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { beginning, newest, readChanges } from "./support/ShapeReader.ts"
import { openStage, publicationName } from "./support/Stage.ts"
import type { ReadAnswer, ReadCommand } from "./support/valueClients.ts"

const loopMillis = 50

/** The longest turn of the event loop in processor time, from now until it is asked for. */
const watchLoop = (file: string): (() => Promise<number>) => {
  let longest = 0
  const look = () => {
    try {
      longest = Math.max(longest, (JSON.parse(readFileSync(file, "utf8")) as LoopDelay).maxTurnMillis)
    } catch {
      // It is being replaced, or not there yet.
    }
  }
  const timer = setInterval(look, loopMillis / 3)
  return async () => {
    await sleep(3 * loopMillis)
    clearInterval(timer)
    look()
    return longest
  }
}

/** Changes a small row again and again, each time once the change before has come. Gives the longest wait from COMMIT. */
const watchSmall = async (database: Database, port: number): Promise<() => Promise<number>> => {
  const session = await database.session()
  const connection = await HttpConnection.open(port)
  let position = await newest(connection, "table=small")
  let longest = 0
  const state = { isOver: false, isThere: false }
  const running = (async () => {
    for (let n = 1; !state.isOver; n++) {
      await session.query(`UPDATE small SET n = ${n}`)
      const began = nowMillis()
      for (state.isThere = false; !state.isThere;) {
        position = await readChanges(
          connection,
          "table=small&live=true",
          position,
          ({ value }) => (state.isThere ||= value?.["n"] === String(n))
        )
      }
      longest = Math.max(longest, nowMillis() - began)
      await sleep(5)
    }
    connection.close()
    await session.end()
  })()
  return async () => {
    state.isOver = true
    await running
    return longest
  }
}

const holdReaders = async (command: ReadCommand) => {
  const helper = await startHelper("valueClients.ts")
  const waiting = Promise.withResolvers<void>()
  const done = Promise.withResolvers<number>()
  helper.child.on("message", (message) => {
    const answer = message as ReadAnswer
    if (answer._tag === "Waiting") waiting.resolve()
    else if (answer._tag === "Read") done.resolve(answer.lastAt)
    else {
      const error = new Error(answer.message)
      waiting.reject(error)
      done.reject(error)
    }
  })
  helper.child.send(command)
  await waiting.promise
  await sleep(200)
  return {
    lastAt: async () => {
      const at = await done.promise
      await helper.stop()
      return at
    }
  }
}

interface Case {
  readonly name: string
  readonly table: string
  readonly megabytes: number
  readonly readers: number
  readonly insert: string
}

const lines = (megabytes: number) =>
  `repeat('A line of "a document" that somebody has written, with words in it.' || chr(10), ${Math.round((megabytes * 1e6) / 69)})`

/** Which cases are measured: those whose row has so many megabytes, those that have so many in all their readers, or all. */
interface Chosen {
  readonly smallest: number
  readonly largest: number
  readonly most: number
  readonly wide: number
}

const cases = ({ largest, most, smallest, wide }: Chosen): ReadonlyArray<Case> => {
  const all: Array<Case> = []
  for (const megabytes of [1, 10, 100]) {
    for (const readers of [1, 100]) {
      if (megabytes < smallest || megabytes > largest || megabytes * readers > most) continue
      const of = `${readers} ${readers === 1 ? "reader" : "readers"}`
      const big = { table: "big", megabytes, readers }
      all.push({
        ...big,
        name: `a row of ${megabytes} MB, ${of}`,
        insert: `INSERT INTO big (v) VALUES (${lines(megabytes)})`
      })
    }
  }
  for (const readers of wide === 0 ? [] : [1, 100])
    all.push({
      name: `100 rows of 1,600 columns, ${readers} ${readers === 1 ? "reader" : "readers"}`,
      table: "wide",
      // Names, quotes and values of the columns come to 21,765 bytes for each row.
      megabytes: 2.2,
      readers,
      insert: "INSERT INTO wide (c0) SELECT g FROM generate_series(1, 100) g"
    })
  return all
}

interface Measured {
  readonly wait: Array<number>
  readonly floor: Array<number>
  readonly cpu: Array<number>
  readonly memory: Array<number>
  readonly loop: Array<number>
  readonly small: Array<number>
}

const figuresOf = ({ megabytes, name }: Case, measured: Measured): ReadonlyArray<Figure> => [
  {
    what: `${name}: COMMIT to the last reader`,
    unit: "ms",
    runs: measured.wait,
    floor: { is: drainFloorName, runs: measured.floor },
    compare: "difference"
  },
  { what: `${name}: processor time`, unit: "ms/MB", runs: measured.cpu.map((ms) => ms / megabytes) },
  { what: `${name}: memory at its highest, more than before`, unit: "MB", runs: measured.memory },
  { what: `${name}: longest turn of the loop, processor time`, unit: "ms", runs: measured.loop },
  { what: `${name}: slowest small row of another table`, unit: "ms", runs: measured.small, aim: "50 ms" }
]

const settle = async (service: Service) => {
  await sleep(300)
  await quiet(service.pid)
}

export const benchmark: Benchmark = {
  name: "values",
  summary: "large values and wide rows: time, memory and delay of others",
  options: { runs: 3, smallest: 1, largest: 100, most: 1000, wide: 1 },
  short: { runs: 1, largest: 10, most: 100 },
  run: async (options, say) => {
    const stage = await openStage()
    const { database } = stage
    const columns = Array.from({ length: 1599 }, (_, i) => `c${i} integer DEFAULT ${i}`).join(", ")
    await database.run(`
      CREATE TABLE small (id int PRIMARY KEY, n int); INSERT INTO small VALUES (1, 0);
      CREATE TABLE big (id serial PRIMARY KEY, v text); ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
      CREATE TABLE wide (id serial PRIMARY KEY, ${columns})`)
    // In memory where there is a directory for that: the loop that is watched must not wait for the disk to write this down.
    const loopFile = path.join(
      existsSync("/dev/shm") ? "/dev/shm" : stage.storage,
      `loop-${process.pid}.json`
    )
    const service = await stage.start({
      nodeArguments: ["--import", path.join(import.meta.dirname, "support/loopProbe.ts")],
      environment: { BENCH_LOOP_FILE: loopFile, BENCH_LOOP_MILLIS: String(loopMillis) }
    })
    const { port } = service
    const connection = await HttpConnection.open(port)
    for (const table of ["small", "big", "wide"])
      await readChanges(connection, `table=${table}`, beginning, () => {})

    const idle: { readonly loop: Array<number>; readonly small: Array<number> } = { loop: [], small: [] }
    const all = new Map<Case, Measured>()
    let read = 0
    const measure = async (one: Case) => {
      const from = await newest(connection, `table=${one.table}`)
      const bytes = one.megabytes * 1e6 * 0.98
      const readers = await holdReaders({
        port,
        parameters: `table=${one.table}`,
        from,
        count: one.readers,
        bytes
      })
      await settle(service)
      const before = rssBytes(service.pid)
      resetPeak(service.pid)
      const stopLoop = watchLoop(loopFile)
      const stopSmall = await watchSmall(database, port)
      await createSlot(database, floorSlot)
      const cpuBefore = cpuMillis(service.pid)
      await database.run(one.insert)
      const committedAt = nowMillis()
      const lastAt = await readers.lastAt()
      const cpu = cpuMillis(service.pid) - cpuBefore
      const small = await stopSmall()
      const loop = await stopLoop()
      const memory = (peakRssBytes(service.pid) - before) / 1e6
      const floor = await drainMillis(database, floorSlot, publicationName)
      await dropSlot(database, floorSlot)
      read += one.readers
      const measured = all.get(one) ?? { wait: [], floor: [], cpu: [], memory: [], loop: [], small: [] }
      all.set(one, measured)
      measured.wait.push(lastAt - committedAt)
      measured.floor.push(floor)
      measured.cpu.push(cpu)
      measured.memory.push(Math.max(0, memory))
      measured.loop.push(loop)
      measured.small.push(small)
      say(
        `${one.name}: ${Math.round(lastAt - committedAt)} ms (floor ${Math.round(floor)}), ${Math.round(cpu)} ms of processor ` +
          `time, ${Math.round(memory)} MB, loop ${Math.round(loop)} ms, small rows ${Math.round(small)} ms`
      )
    }

    const chosen = cases({
      smallest: option(options, "smallest"),
      largest: option(options, "largest"),
      most: option(options, "most"),
      wide: option(options, "wide")
    })
    for (let run = 0; run < option(options, "runs"); run++) {
      const stopLoop = watchLoop(loopFile)
      const stopSmall = await watchSmall(database, port)
      await sleep(2000)
      idle.small.push(await stopSmall())
      idle.loop.push(await stopLoop())
      for (const one of chosen) await measure(one)
    }
    connection.close()
    // In order, for a profile to be written.
    await service.stop()
    rmSync(loopFile, { force: true })
    return {
      figures: [
        { what: "nothing large: longest turn of the loop, processor time", unit: "ms", runs: idle.loop },
        { what: "nothing large: slowest small row", unit: "ms", runs: idle.small },
        ...chosen.flatMap((one) => {
          const measured = all.get(one)
          return measured === undefined ? [] : figuresOf(one, measured)
        })
      ],
      checked: `each of ${read} readers was given at least as many bytes as were written`,
      environment: [
        `${database.description}; text in short lines with quotes in it; the floor includes the small changes meanwhile`
      ]
    }
  }
}
