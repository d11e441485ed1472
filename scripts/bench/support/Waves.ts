import { readFileSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { eventually, nowMillis, sleep } from "./Clock.ts"
import { Crowd } from "./Crowd.ts"
import { startHelper } from "./Fork.ts"
import { quiet } from "./HeldRequests.ts"
import { cpuMillis, openFiles, proportionalBytes, rssBytes } from "./ProcessFacts.ts"
import { collectGarbage, probed, type Service } from "./ServiceProcess.ts"

/** A server with many clients, as it is measured: all of its processes. */
export interface Server {
  readonly port: number
  readonly pids: ReadonlyArray<number>
  readonly collect: () => Promise<unknown>
}

/** What was measured with one number of clients. */
export interface Wave {
  readonly clients: number
  readonly bytesEach: Array<number>
  readonly totalBytes: Array<number>
  readonly cpuMicrosToHold: Array<number>
  readonly heldPerSecond: Array<number>
  readonly last: Array<number>
  readonly cpuMicrosToAnswer: Array<number>
}

export const emptyWave = (clients: number): Wave => ({
  clients,
  bytesEach: [],
  totalBytes: [],
  cpuMicrosToHold: [],
  heldPerSecond: [],
  last: [],
  cpuMicrosToAnswer: []
})

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)
const rss = ({ pids }: Server): number => sum(pids.map(pids.length > 1 ? proportionalBytes : rssBytes))
const files = (server: Server): number => sum(server.pids.map(openFiles))
const cpu = (server: Server): number => sum(server.pids.map(cpuMillis))
/** Connections of its own that a process of a service may close meanwhile. */
const others = 30

/** Opens the connections of a crowd, and waits until the server has all of them and has nothing to do. */
const opened = async (server: Server, crowd: Crowd, how: Parameters<Crowd["open"]>[0], clients: number) => {
  const before = files(server)
  const beganAt = nowMillis()
  await crowd.open(how)
  await eventually("the server to take all clients", 300_000, 50, () =>
    files(server) >= before + clients - others * server.pids.length ? true : undefined
  )
  const perSecond = (clients * 1000) / (nowMillis() - beganAt)
  for (const pid of server.pids) await quiet(pid, 120_000)
  return perSecond
}

/** Many clients that are told of one change after the other. */
export interface Told {
  readonly kind: "polls" | "events"
  readonly waves: number
  readonly perSecond: number
  /** The path that all ask for next. */
  readonly path: () => Promise<string>
  /** What stands in the next change. */
  readonly mark: () => string
  /** Makes it; when that was. */
  readonly release: () => Promise<number>
}

/** Holds, answers and holds again; the last time counts, and the memory after it. Gives the crowd, which waits. */
export const holdWaves = async (server: Server, wave: Wave, told: Told): Promise<Crowd> => {
  const { clients } = wave
  await server.collect()
  const before = rss(server)
  const cpuBefore = cpu(server)
  const crowd = await Crowd.of(clients)
  const { kind, mark, perSecond } = told
  const how = { port: server.port, paths: [await told.path()], perSecond, marks: [mark()], kind }
  wave.heldPerSecond.push(await opened(server, crowd, how, clients))
  wave.cpuMicrosToHold.push(((cpu(server) - cpuBefore) * 1000) / clients)
  for (let i = 1; i <= told.waves; i++) {
    const cpuAt = cpu(server)
    const at = await told.release()
    const arrived = await crowd.answered()
    if (i === told.waves) {
      wave.last.push((arrived.at(-1) ?? 0) - at)
      wave.cpuMicrosToAnswer.push(((cpu(server) - cpuAt) * 1000) / clients)
    }
    if (kind === "polls") await crowd.ask([await told.path()], [mark()])
    else crowd.expect([mark()])
    for (const pid of server.pids) await quiet(pid, 120_000)
  }
  await server.collect()
  wave.bytesEach.push((rss(server) - before) / clients)
  wave.totalBytes.push(rss(server))
  return crowd
}

/** Each client waits for what is its own, and all of it is made at once. */
export const holdOwn = async (
  server: Server,
  paths: ReadonlyArray<string>,
  marks: ReadonlyArray<string>,
  release: () => Promise<number>
): Promise<{ readonly lastMillis: number; readonly cpuMicros: number }> => {
  const crowd = await Crowd.of(paths.length)
  await opened(server, crowd, { port: server.port, paths, perSecond: 0, marks, kind: "polls" }, paths.length)
  const cpuAt = cpu(server)
  const at = await release()
  const arrived = await crowd.answered()
  const cpuMicros = ((cpu(server) - cpuAt) * 1000) / paths.length
  await crowd.close()
  return { lastMillis: (arrived.at(-1) ?? 0) - at, cpuMicros }
}

/** What `wave` shows by now, in a line. */
export const describeWave = (name: string, wave: Wave): string =>
  `${name}, ${wave.clients} clients: ${wave.bytesEach.at(-1)?.toFixed(0)} bytes each, ` +
  `${((wave.totalBytes.at(-1) ?? 0) / 1e6).toFixed(0)} MB, held ${wave.heldPerSecond.at(-1)?.toFixed(0)}/s for ` +
  `${wave.cpuMicrosToHold.at(-1)?.toFixed(0)} us each, last ${wave.last.at(-1)?.toFixed(0)} ms, ` +
  `${wave.cpuMicrosToAnswer.at(-1)?.toFixed(0)} us each`

/** The processes that answer requests, once all of them do. */
export const serverOf = async (service: Service, workers: number): Promise<Server> => {
  if (workers === 0) return { port: service.port, pids: [service.pid], collect: service.collectGarbage }
  const pids = await eventually("the workers to be ready", 120_000, 50, () => {
    const found = [...readFileSync(service.logFile, "utf8").matchAll(/answers requests \(process (\d+)\)/g)]
    return found.length === workers ? found.map(([, pid]) => Number(pid)) : undefined
  })
  return { port: service.port, pids: [service.pid, ...pids], collect: () => sleep(2000) }
}

/** A floor (`bareServer.ts`); `told` is given what answers all requests that it holds. */
export const bareWave = async (
  mode: "http" | "sockets",
  wave: Wave,
  told: (answer: (body: string) => void) => Told
): Promise<void> => {
  const probeFile = path.join(os.tmpdir(), `baton-bench-crowd-${process.pid}.probe`)
  const helper = await startHelper("bareServer.ts", [mode], probed, { BENCH_PROBE_FILE: probeFile })
  const server: Server = {
    port: helper.port,
    pids: [helper.pid],
    collect: () => collectGarbage(helper.pid, probeFile)
  }
  const answer = (body: string) => void helper.child.send({ headers: usualHeaders, body })
  const crowd = await holdWaves(server, wave, told(answer))
  await crowd.close()
  await helper.stop()
  rmSync(probeFile, { force: true })
}

/** Headers as the service sends them. */
const usualHeaders = {
  "x-request-id": "AAAAAAAAAAAA00000001",
  vary: "accept-encoding",
  "cache-control": "public, max-age=5, stale-while-revalidate=5",
  "electric-server": "ElectricSQL/1.2.3 baton",
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "*",
  "access-control-allow-methods": "GET, POST, HEAD, DELETE, OPTIONS",
  "content-type": "application/json; charset=utf-8",
  "electric-cursor": "123456",
  etag: '"12345678-1234567:0_inf:0_0"',
  "electric-handle": "12345678-12345567",
  "electric-up-to-date": "",
  "electric-has-data": "true",
  "electric-offset": "12345678_0"
}
