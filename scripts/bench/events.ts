import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis } from "./support/Clock.ts"
import { eventStreams } from "./support/EventStreams.ts"
import { quiet } from "./support/HeldRequests.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { openFiles, rssBytes } from "./support/ProcessFacts.ts"
import { probed } from "./support/ServiceProcess.ts"
import { newest, shapePath } from "./support/ShapeReader.ts"
import { openStage } from "./support/Stage.ts"
import { median } from "./support/Statistics.ts"

const readers = 100

export const benchmark: Benchmark = {
  name: "events",
  summary: "one change to many event streams of one shape, and clients that stop reading",
  // Together the changes are more than the kernel keeps for a socket whose other end does not read, several megabytes by
  // default. More of those clients than this need a limit on that (`net.ipv4.tcp_wmem`), or the kernel runs out of it.
  options: { runs: 3, clients: 10_000, stalled: 200, changes: 60, bytes: 200_000 },
  short: { runs: 1, clients: 500, stalled: 20, changes: 60, bytes: 200_000 },
  run: async (options, say) => {
    const clients = option(options, "clients")
    const stalled = option(options, "stalled")
    const changes = option(options, "changes")
    const largeBytes = option(options, "bytes")
    const { database, start } = await openStage()
    await database.run("CREATE TABLE items (id bigint PRIMARY KEY, note text)")
    const session = await database.session()
    const service = await start({
      nodeArguments: probed,
      environment: { ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":300,"existing":20000}' }
    })
    let id = 0
    const change = async (bytes: number): Promise<number> => {
      await session.query(`INSERT INTO items VALUES (${++id}, repeat('x', ${bytes}))`)
      return nowMillis()
    }
    const streamPath = async () => {
      const connection = await HttpConnection.open(service.port)
      const position = await newest(connection, "table=items")
      connection.close()
      return shapePath("table=items", position, "&live=true&live_sse=true")
    }
    const settled = (files: number) =>
      eventually("closed connections", 60_000, 200, () =>
        openFiles(service.pid) <= files ? true : undefined
      )

    const bytesEach: Array<number> = []
    const first: Array<number> = []
    const middle: Array<number> = []
    const last: Array<number> = []
    const files = openFiles(service.pid)
    for (let run = 0; run < option(options, "runs"); run++) {
      const streams = await eventStreams(service.port, await streamPath())
      await service.collectGarbage()
      const before = rssBytes(service.pid)
      await streams.open(clients, true)
      await quiet(service.pid, 30_000)
      await service.collectGarbage()
      bytesEach.push((rssBytes(service.pid) - before) / clients)
      const committedAt = await change(100)
      const { at, rows } = await streams.delivered()
      if (rows !== clients)
        throw new Error(`${clients} clients should have got one row each, not ${rows} rows`)
      const after = at.map((millis) => millis - committedAt)
      first.push(after[0] ?? 0)
      middle.push(median(after))
      last.push(after.at(-1) ?? 0)
      await streams.close()
      await settled(files + 50)
      say(
        `${clients} streams: first ${first.at(-1)?.toFixed(1)}, median ${middle.at(-1)?.toFixed(1)}, ` +
          `last ${last.at(-1)?.toFixed(1)} ms, ${bytesEach.at(-1)?.toFixed(0)} bytes each`
      )
    }

    /** Milliseconds from COMMIT to the last of those who read, the median of all changes. */
    const wave = async () => {
      // New ones each time: a stream lives for a minute.
      const reading = await eventStreams(service.port, await streamPath())
      await reading.open(readers, true)
      const times: Array<number> = []
      for (let i = 0; i < changes; i++) {
        const committedAt = await change(largeBytes)
        const { at } = await reading.delivered()
        times.push((at.at(-1) ?? 0) - committedAt)
      }
      await reading.close()
      return median(times)
    }
    const alone = await wave()
    const idle = await eventStreams(service.port, await streamPath())
    await idle.open(stalled, false)
    await service.collectGarbage()
    const before = rssBytes(service.pid)
    const stalledAt = nowMillis()
    const beside = await wave()
    await service.collectGarbage()
    const keptEach = (rssBytes(service.pid) - before) / stalled
    say(
      `${changes} changes of ${largeBytes} bytes to ${readers} who read: ${alone.toFixed(1)} ms alone, ` +
        `${beside.toFixed(1)} ms beside ${stalled} who do not; ${keptEach.toFixed(0)} bytes each`
    )
    // The client's own process keeps its sockets open: it is the service that ends these connections.
    await settled(files + Math.min(50, stalled / 4))
    const cutAfterSeconds = (nowMillis() - stalledAt) / 1000
    await idle.close()
    await service.stop()

    const figures: ReadonlyArray<Figure> = [
      { what: `${clients} streams, memory each`, unit: "bytes", runs: bytesEach, aim: "10,000 bytes" },
      { what: `${clients} streams, COMMIT to the first`, unit: "ms", runs: first },
      { what: `${clients} streams, COMMIT to the median`, unit: "ms", runs: middle },
      { what: `${clients} streams, COMMIT to the last`, unit: "ms", runs: last },
      {
        what: `${changes} changes of ${largeBytes / 1000} kB to ${readers} who read, beside ${stalled} who do not, COMMIT to the last`,
        unit: "ms",
        runs: [beside],
        floor: { is: "without those", runs: [alone] },
        compare: "time"
      },
      {
        what: `${stalled} who do not read, memory of the service each`,
        unit: "bytes",
        runs: [keptEach],
        note: "what the kernel keeps in socket buffers is not counted"
      },
      { what: `${stalled} who do not read, all cut off after`, unit: "s", runs: [cutAfterSeconds] }
    ]
    return {
      figures,
      checked: "every client got the one new row once; streams that are read were never ended",
      environment: [database.description]
    }
  }
}
