import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { cp, rm } from "node:fs/promises"
import * as path from "node:path"
import { lockKey } from "../../src/lock/LockKey.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { nowMillis } from "./support/Clock.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { rssBytes } from "./support/ProcessFacts.ts"
import { startService, storageDirectory } from "./support/ServiceProcess.ts"
import { beginning, newest, shapePath } from "./support/ShapeReader.ts"
import { tenantShape } from "./support/ShapeSets.ts"
import { closeEngine, manyShapes, openEngine } from "./support/WrittenShapes.ts"
import { openStage, slotName } from "./support/Stage.ts"

/** Single-row transactions of about 250 bytes until the journal has grown by so much. */
const writeChanges = async (
  engine: StorageEngine,
  shapes: ReadonlyArray<ShapeState>,
  bytes: number
): Promise<number> => {
  const { store, writer } = engine
  if (writer === undefined) throw new Error("The storage directory is not ours.")
  const from = writer.marker
  let lsn = store.positionLsn
  let count = 0
  const ids = new Uint32Array(1)
  while (writer.marker - from < bytes) {
    lsn += 400n
    writer.ordinary.beginTransaction(lsn, 1000 + (count % 1_000_000))
    writer.ordinary.beginItem()
    const at = writer.out.length
    writer.out.append(
      Buffer.from(
        `{"key":"\\"public\\".\\"items\\"/\\"${count}\\"","value":{"id":"${count}","tenant":"0","title":"A change of ordinary length, number ${count}"},` +
          `"headers":{"operation":"insert","relation":["public","items"],"lsn":"${lsn}","txids":[${count}],"op_position":0}}`
      )
    )
    ids[0] = shapes[count % shapes.length]?.id ?? 0
    const length = writer.out.length - at
    store.item(0, writer.ordinary.endItem(0, at, ids, 1), length, ids, 0, 1)
    writer.ordinary.commitTransaction(lsn + 8n, true)
    store.commit(lsn, lsn + 8n, 1000 + (count % 1_000_000), writer.ordinary.segmentOfTransaction)
    count++
    if (count % 1000 === 0) {
      writer.flush()
      if (writer.unwrittenBytes > 8 << 20) await writer.durable()
    }
  }
  await writer.durable()
  return count
}

const filesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))

/** `cat` of these files, in milliseconds. */
const readWithCat = async (directory: string): Promise<number> => {
  const files = filesIn(directory)
  const began = nowMillis()
  const child = spawn("xargs", ["-0", "cat"], { stdio: ["pipe", "ignore", "inherit"] })
  child.stdin.end(files.join("\0"))
  await new Promise((resolve) => child.once("exit", resolve))
  return nowMillis() - began
}

interface Prepared {
  readonly what: string
  readonly aim: string
  readonly compared: boolean
  readonly shapes: number
  readonly write: (engine: StorageEngine, model: ShapeState) => Promise<void>
  readonly moves: boolean
}

export const benchmark: Benchmark = {
  name: "start",
  summary: "cold start with many shapes, and with a journal to recover",
  options: { runs: 3, few: 10_000, many: 100_000, journal: 1000 },
  short: { runs: 1, few: 1000, many: 5000, journal: 50 },
  run: async (options, say) => {
    const runs = option(options, "runs")
    const { database, start, storage } = await openStage()
    await database.run("CREATE TABLE items (id bigint PRIMARY KEY, tenant integer NOT NULL, title text)")
    const first = await start()
    const connection = await HttpConnection.open(first.port)
    await connection.request(shapePath(tenantShape(0), beginning))
    await newest(connection, "table=items")
    connection.close()
    await first.stop()

    const few = option(options, "few")
    const many = option(options, "many")
    const journal = option(options, "journal")
    const cases: ReadonlyArray<Prepared> = [
      {
        what: "an empty directory",
        aim: "",
        compared: false,
        shapes: 0,
        moves: false,
        write: async () => {}
      },
      ...[few, many].map((count) => ({
        what: `${count} shapes`,
        aim: "2 s",
        compared: false,
        shapes: count,
        moves: true,
        write: manyShapes(count)
      })),
      {
        what: `a journal of ${journal} MB`,
        aim: "50 % of cat",
        compared: true,
        shapes: 100,
        moves: false,
        write: async (engine, model) => {
          await manyShapes(100)(engine, model)
          const shapes = [...engine.store.all()]
          const changes = await writeChanges(engine, shapes, journal * 1_000_000)
          say(`${changes} changes in ${journal} MB of journal`)
        }
      }
    ]

    // Somebody else holds the lock, so a start ends in `waiting`.
    const holder = await database.session()
    await holder.query(`SELECT pg_advisory_lock(${lockKey(slotName)})`)
    const figures: Array<Figure> = []
    let empty: ReadonlyArray<number> = []
    for (const { aim, compared, moves, shapes, what, write } of cases) {
      const directory = storageDirectory()
      if (shapes > 0) {
        await cp(storage, directory, { recursive: true })
        const engine = await openEngine(directory)
        const model = [...engine.store.all()].find(({ definition }) => definition.where !== undefined)
        if (model === undefined) throw new Error("The first shape is gone.")
        const began = nowMillis()
        await write(engine, model)
        await closeEngine(engine, moves)
        say(`${what}: written in ${((nowMillis() - began) / 1000).toFixed(1)} s`)
      }
      const times: Array<number> = []
      const floors: Array<number> = []
      const memory: Array<number> = []
      for (let run = 0; run < runs; run++) {
        floors.push(await readWithCat(directory))
        const service = await startService({
          databaseUrl: database.url,
          storage: directory,
          until: "waiting"
        })
        times.push(service.startMillis)
        memory.push(rssBytes(service.pid) / 1e6)
        if (shapes > 0) {
          const reader = await HttpConnection.open(service.port)
          for (const tenant of [0, Math.floor(shapes / 2), shapes - 1]) {
            const reply = await reader.request(shapePath(tenantShape(tenant), beginning))
            if (reply.status !== 200) throw new Error(`Shape ${tenant} of ${shapes}: status ${reply.status}.`)
          }
          reader.close()
        }
        await service.kill()
        say(
          `${what}: waiting after ${service.startMillis.toFixed(0)} ms; cat ${floors.at(-1)?.toFixed(0)} ms`
        )
      }
      figures.push({
        what: `${what}, start of the process to \`waiting\``,
        unit: "ms",
        runs: times,
        ...(aim === "" || compared ? {} : { aim })
      })
      if (shapes === 0) empty = times
      else {
        const program = empty.toSorted((a, b) => a - b)[empty.length >> 1] ?? 0
        figures.push({
          what: `${what}, beyond a start with an empty directory`,
          unit: "ms",
          runs: times.map((time) => Math.max(0, time - program)),
          ...(compared ? { floor: { is: "cat", runs: floors }, compare: "time" as const, aim } : {})
        })
      }
      figures.push({ what: `${what}, RSS then`, unit: "MB", runs: memory })
      await rm(directory, { recursive: true, force: true })
    }
    await database.stop()
    return {
      figures,
      checked:
        "shapes from the beginning, the middle and the end could be read as soon as the service was waiting",
      environment: [database.description, "files in the page cache, for the service as for `cat`"]
    }
  }
}
