import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { connect, type Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { onEnd } from "./support/Cleanup.ts"
import { nowMillis, sleep } from "./support/Clock.ts"
import { startHelper } from "./support/Fork.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { copyAsMessages, createItems, fillItems } from "./support/Items.ts"
import { quiet } from "./support/HeldRequests.ts"
import { cpuMillis, peakRssBytes, resetPeak, rssBytes } from "./support/ProcessFacts.ts"
import { discardCopy } from "./support/RawPostgres.ts"
import { probed, type Service, storageDirectory } from "./support/ServiceProcess.ts"
import {
  beginning,
  ExactlyOnce,
  isUpToDate,
  positionOf,
  readChanges,
  readToEnd,
  shapePath
} from "./support/ShapeReader.ts"
import { openStage } from "./support/Stage.ts"

const megabyte = 1e6

const readWhole = async (port: number, parameters: string) => {
  const connection = await HttpConnection.open(port)
  let bytes = 0
  const began = nowMillis()
  const { requests } = await readToEnd(connection, parameters, beginning, (piece) => {
    bytes += piece.length
  })
  const millis = nowMillis() - began
  connection.close()
  return { millis, bytes, requests }
}

/** All clients start at once; gives the time until the last one is up to date. */
const readTogether = async (port: number, parameters: string, clients: number) => {
  const connections = await Promise.all(Array.from({ length: clients }, () => HttpConnection.open(port)))
  const began = nowMillis()
  const sizes = await Promise.all(
    connections.map(async (connection) => {
      let bytes = 0
      await readToEnd(connection, parameters, beginning, (piece) => {
        bytes += piece.length
      })
      return bytes
    })
  )
  const millis = nowMillis() - began
  for (const connection of connections) connection.close()
  if (new Set(sizes).size !== 1)
    throw new Error(`The clients were given different amounts: ${sizes.join(", ")} bytes.`)
  return millis
}

/** Keeps the bodies that a client is given as the files 0, 1, 2 ... of a directory. */
const keepBodies = async (
  port: number,
  parameters: string
): Promise<{ readonly directory: string; readonly files: number }> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-bench-static-"))
  onEnd(() => rmSync(directory, { recursive: true, force: true }))
  const connection = await HttpConnection.open(port)
  let position = beginning
  for (let files = 0; ; files++) {
    const file = openSync(path.join(directory, String(files)), "w")
    const reply = await connection.request(shapePath(parameters, position), (piece) => {
      writeSync(file, piece)
    })
    closeSync(file)
    position = positionOf(reply)
    if (isUpToDate(reply)) {
      connection.close()
      return { directory, files: files + 1 }
    }
  }
}

const readFiles = async (port: number, files: number, clients: number): Promise<number> => {
  const connections = await Promise.all(Array.from({ length: clients }, () => HttpConnection.open(port)))
  const began = nowMillis()
  await Promise.all(
    connections.map(async (connection) => {
      for (let i = 0; i < files; i++) {
        const reply = await connection.request(`/${i}`, () => {})
        if (reply.status !== 200) throw new Error(`Status ${reply.status} from the static server.`)
      }
    })
  )
  const millis = nowMillis() - began
  for (const connection of connections) connection.close()
  return millis
}

/** Clients that ask for the first rows and then read nothing, until closed. */
const stopReading = async (port: number, parameters: string, clients: number) => {
  const sockets: Array<Socket> = []
  const request = `GET ${shapePath(parameters, beginning)} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`
  for (let i = 0; i < clients; i++) {
    const socket = connect({ port, host: "127.0.0.1" })
    socket.on("error", () => {})
    socket.pause()
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()))
    socket.write(request, "latin1")
    sockets.push(socket)
  }
  return () => {
    for (const socket of sockets) socket.destroy()
  }
}

const checkRows = async (port: number, parameters: string, rows: number) => {
  const connection = await HttpConnection.open(port)
  const check = new ExactlyOnce(1, rows)
  await readChanges(connection, parameters, beginning, check.take)
  check.finish(rows)
  connection.close()
}

export const benchmark: Benchmark = {
  name: "initial",
  summary: "the first rows of a large shape, for the first client and for later ones",
  // The kernel keeps some megabytes for each client that does not read: more of them need `net.ipv4.tcp_wmem` lowered.
  options: { runs: 3, rows: 1_000_000, small: 10_000, clients: 50, stalled: 200 },
  short: { runs: 1, rows: 200_000, stalled: 50 },
  run: async (options, say) => {
    const runs = option(options, "runs")
    const rows = option(options, "rows")
    const clients = option(options, "clients")
    const { database, start } = await openStage()
    await createItems(database)
    await createItems(database, "few")
    await fillItems(database, "items", rows)
    await fillItems(database, "few", option(options, "small"))
    const [table] = await database.run("SELECT pg_table_size('items') AS size")
    say(`${rows} rows, ${(Number(table?.["size"]) / megabyte).toFixed(0)} MB in Postgres`)
    const first: Array<number> = []
    const second: Array<number> = []
    const together: Array<number> = []
    const copy: Array<number> = []
    const statics: Array<number> = []
    const staticTogether: Array<number> = []
    const idleRss: Array<number> = []
    const firstRss: Array<number> = []
    const secondRss: Array<number> = []
    const togetherRss: Array<number> = []
    const processor: Array<number> = []
    const stalledEach: Array<number> = []
    const besideStalled: Array<number> = []
    const stalled = option(options, "stalled")
    let bytes = 0

    const measureStalled = async (service: Service) => {
      await service.collectGarbage()
      const before = rssBytes(service.pid)
      const release = await stopReading(service.port, "table=items", stalled)
      await quiet(service.pid)
      const beside = await readWhole(service.port, "table=items")
      besideStalled.push(beside.millis)
      await service.collectGarbage()
      stalledEach.push((rssBytes(service.pid) - before) / stalled)
      release()
      say(
        `beside ${stalled} clients that do not read ${beside.millis.toFixed(0)} ms; ` +
          `${stalledEach.at(-1)?.toFixed(0)} bytes for each of those`
      )
    }

    const measureTogether = async (service: Service) => {
      resetPeak(service.pid)
      together.push(await readTogether(service.port, "table=few", clients))
      togetherRss.push(peakRssBytes(service.pid) / megabyte)
      const kept = await keepBodies(service.port, "table=few")
      const server = await startHelper("staticServer.ts", [kept.directory])
      await readFiles(server.port, kept.files, 1)
      staticTogether.push(await readFiles(server.port, kept.files, clients))
      await server.stop()
    }

    for (let run = 0; run < runs; run++) {
      const copied = await discardCopy(database, copyAsMessages("items"))
      if (copied.rows !== rows) throw new Error(`COPY gave ${copied.rows} rows.`)
      copy.push(copied.millis)

      const service = await start({
        storage: storageDirectory(),
        nodeArguments: probed,
        environment: { ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":5000,"existing":20000}' }
      })
      await sleep(500)
      idleRss.push(peakRssBytes(service.pid) / megabyte)
      const cpuBefore = cpuMillis(service.pid)
      resetPeak(service.pid)
      const one = await readWhole(service.port, "table=items")
      first.push(one.millis)
      firstRss.push(peakRssBytes(service.pid) / megabyte)
      processor.push(((cpuMillis(service.pid) - cpuBefore) * 1000) / rows)
      bytes = one.bytes
      say(
        `first client ${one.millis.toFixed(0)} ms (${one.requests} requests, ${(one.bytes / megabyte).toFixed(0)} MB), COPY ` +
          `${copied.millis.toFixed(0)} ms (${(copied.bytes / megabyte).toFixed(0)} MB)`
      )

      resetPeak(service.pid)
      const two = await readWhole(service.port, "table=items")
      second.push(two.millis)
      secondRss.push(peakRssBytes(service.pid) / megabyte)
      if (two.bytes !== one.bytes)
        throw new Error("The second client was given something else than the first.")
      const kept = await keepBodies(service.port, "table=items")
      const server = await startHelper("staticServer.ts", [kept.directory])
      await readFiles(server.port, kept.files, 1)
      statics.push(await readFiles(server.port, kept.files, 1))
      await server.stop()
      rmSync(kept.directory, { recursive: true, force: true })
      say(`second client ${two.millis.toFixed(0)} ms, static server ${statics.at(-1)?.toFixed(0)} ms`)

      await measureTogether(service)
      say(
        `${clients} clients ${together.at(-1)?.toFixed(0)} ms, static server ${staticTogether.at(-1)?.toFixed(0)} ms`
      )
      await measureStalled(service)
      if (run === 0) {
        await checkRows(service.port, "table=items", rows)
        await checkRows(service.port, "table=few", option(options, "small"))
      }
      await service.stop()
      rmSync(service.logFile, { force: true })
    }

    const perSecond = (values: ReadonlyArray<number>) => values.map((millis) => rows / (millis / 1000))
    const figures: ReadonlyArray<Figure> = [
      {
        what: `${rows} rows, first client`,
        unit: "rows/s",
        runs: perSecond(first),
        floor: { is: "COPY", runs: perSecond(copy) },
        aim: "70 %"
      },
      {
        what: `${rows} rows, first client, time`,
        unit: "ms",
        runs: first,
        floor: { is: "COPY", runs: copy },
        compare: "time"
      },
      { what: "first client, processor time of the service", unit: "us/row", runs: processor },
      {
        what: `${rows} rows, second client`,
        unit: "rows/s",
        runs: perSecond(second),
        floor: { is: "static files", runs: perSecond(statics) },
        aim: "80 %"
      },
      {
        what: "second client, time",
        unit: "ms",
        runs: second,
        floor: { is: "static files", runs: statics },
        compare: "time"
      },
      {
        what: `${clients} clients at once on ${option(options, "small")} rows, first to ask, time`,
        unit: "ms",
        runs: together,
        floor: { is: "static files", runs: staticTogether },
        compare: "time"
      },
      {
        what: `a client beside ${stalled} that do not read, time`,
        unit: "ms",
        runs: besideStalled,
        floor: { is: "without those", runs: second },
        compare: "time"
      },
      {
        what: `${stalled} clients that do not read, memory of the service each`,
        unit: "bytes",
        runs: stalledEach,
        note: "what the kernel keeps in socket buffers is not counted"
      },
      { what: "RSS before", unit: "MB", runs: idleRss },
      { what: "highest RSS, first client", unit: "MB", runs: firstRss, aim: "under 300 MB" },
      { what: "highest RSS, second client", unit: "MB", runs: secondRss, aim: "under 300 MB" },
      { what: `highest RSS, ${clients} clients`, unit: "MB", runs: togetherRss, aim: "under 300 MB" }
    ]
    return {
      figures,
      checked:
        "the rows of both tables came exactly once with their values, and all clients were given the same number of bytes",
      environment: [`${database.description}; ${(bytes / rows).toFixed(0)} bytes of JSON per row`]
    }
  }
}
