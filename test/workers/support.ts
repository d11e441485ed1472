import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import * as http from "node:http"
import { eventually } from "../../testing/Eventually.ts"
import type { TestService } from "../../testing/services/Service.ts"

/** Processes of the workers that answer requests, by number. Those that were replaced are not in it. */
export const workersOf = (service: TestService): ReadonlyMap<number, number> => {
  const pids = new Map<number, number>()
  for (const [, number, pid] of service
    .logs()
    .matchAll(/HTTP worker (\d+) answers requests \(process (\d+)\)/g)) {
    pids.set(Number(number), Number(pid))
  }
  return pids
}

export const untilWorkers = async (
  service: TestService,
  count: number
): Promise<ReadonlyMap<number, number>> => {
  for (let number = 1; number <= count; number++)
    await service.untilLogged(new RegExp(`HTTP worker ${number} answers requests`), 30_000)
  return workersOf(service)
}

export const isRunning = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

const ownersOf = (pids: ReadonlyArray<number>): ReadonlyMap<string, number> => {
  const owners = new Map<string, number>()
  for (const pid of pids) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]
        if (inode !== undefined) owners.set(inode, pid)
      }
    } catch {
      // The process is gone.
    }
  }
  return owners
}

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return ""
  }
}

const hex = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`

/** The process that has the end of a TCP connection with these ports. */
export const processAt = (
  pids: ReadonlyArray<number>,
  localPort: number,
  remotePort: number
): number | undefined => {
  const owners = ownersOf(pids)

  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/)
    const [, local = "", remote = ""] = fields
    if (local.endsWith(hex(localPort)) && remote.endsWith(hex(remotePort))) return owners.get(fields[9] ?? "")
  }
  return undefined
}

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** One connection to one process of a service; requests follow each other on it. */
export class Connection {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  private readonly service: TestService
  private localPort: number | undefined

  constructor(service: TestService) {
    this.service = service
  }

  /** The kernel chooses which process gets a connection, so one is opened after the other until it is the right one. */
  static async open(service: TestService, pid: number): Promise<Connection> {
    const pids = [service.pid, ...workersOf(service).values()]
    return eventually(`a connection to process ${pid}`, async () => {
      const connection = new Connection(service)
      await connection.request("/v1/health")
      if (processAt(pids, service.port, connection.localPort ?? 0) === pid) return connection
      connection.close()
      return undefined
    })
  }

  request(path: string, method = "GET"): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { agent, service } = this
      const request = http.request(
        { agent, host: "127.0.0.1", port: service.port, path, method },
        (response) => {
          let body = ""
          response.setEncoding("utf8")
          response.on("data", (text: string) => (body += text))
          response.on("error", reject)
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
          )
        }
      )
      request.on("socket", (socket) => {
        const note = () => {
          if (this.localPort !== undefined && this.localPort !== socket.localPort)
            reject(new Error("the connection was closed, and this would be another one"))
          this.localPort = socket.localPort
        }
        if (socket.connecting) socket.once("connect", note)
        else note()
      })
      request.on("error", reject)
      request.end()
    })
  }

  /** A request for the shape. */
  shape(params: Readonly<Record<string, string>>): Promise<Answer> {
    return this.request(`/v1/shape?${new URLSearchParams(params)}`)
  }

  close(): void {
    this.agent.destroy()
  }
}

export const handleOf = (answer: Answer): string => String(answer.headers["electric-handle"])
export const offsetOf = (answer: Answer): string => String(answer.headers["electric-offset"])

interface Message {
  readonly headers: Readonly<Record<string, unknown>>
  readonly value?: Readonly<Record<string, string | null>>
}

export const messagesOf = (answer: Answer): ReadonlyArray<Message> =>
  JSON.parse(answer.body) as ReadonlyArray<Message>

/** The ids of rows in an answer. */
export const idsOf = (answer: Answer): ReadonlyArray<string | null | undefined> =>
  messagesOf(answer).flatMap((message) => (message.value === undefined ? [] : [message.value["id"]]))
