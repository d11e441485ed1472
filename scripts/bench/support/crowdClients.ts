import { connect, type Socket } from "node:net"
import { nowMillis } from "./Clock.ts"

/**
 * A crowd of clients in a process of its own. All of them read into one buffer, so that tens of thousands take little of the
 * processor time that the server needs. They send the headers that Node's `fetch` sends.
 */
export type Command =
  | {
      readonly _tag: "Open"
      readonly port: number
      /** One for each client, or one for all. */
      readonly paths: ReadonlyArray<string>
      readonly count: number
      /** Which of 127.0.0.1, 127.0.0.2 and so on all of them come from: the ports of one address are enough for 28,000. */
      readonly address: number
      /** Connections are made at this rate, or as fast as they are taken. */
      readonly perSecond: number
      /** What is in each answer: a row of its own, and never two. */
      readonly marks: ReadonlyArray<string>
      readonly kind: "polls" | "events"
    }
  /** All ask again, on the connections that they have. */
  | { readonly _tag: "Ask"; readonly paths: ReadonlyArray<string>; readonly marks: ReadonlyArray<string> }
  /** Streams go on: what comes next is this. */
  | { readonly _tag: "Expect"; readonly marks: ReadonlyArray<string> }
  | { readonly _tag: "Close" }

export type Answer =
  | { readonly _tag: "Opened"; readonly millis: number }
  | { readonly _tag: "Asked" }
  | { readonly _tag: "All"; readonly at: ReadonlyArray<number> }
  | { readonly _tag: "Failed"; readonly message: string }

const tell = (answer: Answer): void => void process.send?.(answer)
const buffer = Buffer.alloc(65_536)

const sockets: Array<Socket> = []
let at: Array<number> = []
let marks: ReadonlyArray<string> = []
let isClosing = false

const of = (list: ReadonlyArray<string>, i: number): string => list[i % list.length] ?? ""
const requestOf = (port: number, path: string): string =>
  `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\n` +
  "sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n"

const fail = (message: string): void => {
  if (!isClosing) tell({ _tag: "Failed", message })
}

/** What has come for one client. Answers are small: they come in one piece, or nearly. */
const take = (i: number, text: string, whole: string): string => {
  const all = text + whole
  if (!all.endsWith("]") && !all.endsWith("\n\n\r\n") && !all.endsWith("\r\n\r\n")) return all
  if (all.startsWith("HTTP/1.1 ")) {
    if (!all.startsWith("HTTP/1.1 200 ")) fail(`client ${i} got ${all.slice(0, 300)}`)
    if (all.endsWith("\r\n\r\n")) return ""
  }
  const mark = of(marks, i)
  if (!all.includes('"control":"up-to-date"')) return all
  if (all.split(mark).length !== 2) fail(`client ${i} should have got ${mark} once: ${all.slice(0, 1500)}`)
  at.push(nowMillis())
  if (at.length === sockets.length) {
    tell({ _tag: "All", at })
    at = []
  }
  return ""
}

const openOne = (port: number, address: number, request: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const i = sockets.length
    let text = ""
    const socket = connect({
      port,
      host: "127.0.0.1",
      localAddress: `127.0.0.${address}`,
      onread: {
        buffer,
        callback: (length) => {
          text = take(i, text, buffer.toString("latin1", 0, length))
          return true
        }
      }
    })
    socket.once("error", reject)
    socket.once("close", () => fail(`the connection of client ${i} was closed`))
    socket.once("connect", () => {
      socket.off("error", reject)
      socket.on("error", () => {})
      socket.write(request, "latin1")
      resolve()
    })
    sockets.push(socket)
  })

let port = 0
const handle = async (command: Command): Promise<void> => {
  switch (command._tag) {
    case "Close":
      isClosing = true
      for (const socket of sockets) socket.destroy()
      return
    case "Expect":
      ;({ marks } = command)
      return
    case "Ask":
      ;({ marks } = command)
      sockets.forEach((socket, i) => socket.write(requestOf(port, of(command.paths, i)), "latin1"))
      return tell({ _tag: "Asked" })
    case "Open": {
      ;({ marks, port } = command)
      const began = nowMillis()
      const batch = command.perSecond > 0 ? Math.max(1, Math.round(command.perSecond / 50)) : 200
      for (let opened = 0; opened < command.count; opened += batch) {
        const dueAt = began + (command.perSecond > 0 ? (opened * 1000) / command.perSecond : 0)
        if (dueAt > nowMillis()) await new Promise((resolve) => setTimeout(resolve, dueAt - nowMillis()))
        const count = Math.min(batch, command.count - opened)
        const first = sockets.length
        await Promise.all(
          Array.from({ length: count }, (_, k) =>
            openOne(port, command.address, requestOf(port, of(command.paths, first + k)))
          )
        )
      }
      tell({ _tag: "Opened", millis: nowMillis() - began })
    }
  }
}
process.on("message", (command: Command) => {
  handle(command).catch((error: unknown) => fail(String(error)))
})
process.send?.({ port: 0 })
