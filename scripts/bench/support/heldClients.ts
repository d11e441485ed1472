import { connect, type Socket } from "node:net"
import { nowMillis } from "./Clock.ts"

/**
 * Many clients that each hold one request, as a process of its own. They are bare sockets, so that thousands of them
 * take little of the processor time that the server needs.
 */
export interface OpenCommand {
  readonly _tag: "Open"
  readonly port: number
  readonly path: string
  readonly count: number
}
/** What came, once every client has its reply. */
export interface Replies {
  readonly _tag: "Replies"
  /** When the reply of each was complete, in the order of arrival. */
  readonly at: ReadonlyArray<number>
  /** Different bodies and how many clients got each. */
  readonly bodies: ReadonlyMap<string, number>
  readonly statuses: ReadonlyMap<string, number>
}
export type Answer =
  { readonly _tag: "Opened" } | Replies | { readonly _tag: "Failed"; readonly message: string }
export type Command = OpenCommand | { readonly _tag: "Close" }

const tell = (answer: Answer): void => void process.send?.(answer)

let sockets: Array<Socket> = []
let at: Array<number> = []
let bodies = new Map<string, number>()
let statuses = new Map<string, number>()

const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1)

/** The body if the reply is complete. Bodies here are small: one piece, or one chunk and the end. */
const bodyOf = (reply: string): string | undefined => {
  const headEnd = reply.indexOf("\r\n\r\n")
  if (headEnd === -1) return undefined
  const head = reply.slice(0, headEnd).toLowerCase()
  const length = /content-length: (\d+)/.exec(head)
  if (length !== null) {
    const body = reply.slice(headEnd + 4)
    return Buffer.byteLength(body, "latin1") >= Number(length[1]) ? body : undefined
  }
  if (!reply.endsWith("0\r\n\r\n")) return undefined
  return reply
    .slice(headEnd + 4, -5)
    .replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, "")
    .trimEnd()
}

const openOne = (port: number, request: string, total: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let received = ""
    const socket = connect({ port, host: "127.0.0.1" })
    socket.once("error", reject)
    socket.once("connect", () => {
      socket.write(request, "latin1")
      resolve()
    })
    socket.on("data", (data) => {
      received += data.toString("latin1")
      const body = bodyOf(received)
      if (body === undefined) return
      at.push(nowMillis())
      count(bodies, body)
      count(statuses, received.slice(9, 12))
      received = ""
      if (at.length === total) {
        tell({ _tag: "Replies", at, bodies, statuses })
        at = []
        bodies = new Map()
        statuses = new Map()
      }
    })
    sockets.push(socket)
  })

const open = async (command: OpenCommand): Promise<void> => {
  const request = `GET ${command.path} HTTP/1.1\r\nhost: 127.0.0.1:${command.port}\r\n\r\n`
  for (let opened = 0; opened < command.count;) {
    const batch = Math.min(100, command.count - opened)
    await Promise.all(Array.from({ length: batch }, () => openOne(command.port, request, command.count)))
    opened += batch
  }
}

process.on("message", (command: Command) => {
  if (command._tag === "Close") {
    for (const socket of sockets) socket.destroy()
    sockets = []
    return
  }
  open(command).then(
    () => tell({ _tag: "Opened" }),
    (error: unknown) => tell({ _tag: "Failed", message: String(error) })
  )
})
process.send?.({ port: 0 })
