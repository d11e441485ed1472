import { connect, type Socket } from "node:net"
import { nowMillis } from "./Clock.ts"

/** Many clients with an event stream each, as a process of its own: bare sockets that count events. */
export type Command =
  | {
      readonly _tag: "Open"
      readonly port: number
      readonly path: string
      readonly count: number
      /** Otherwise they take nothing from their sockets once the stream has begun. */
      readonly reads: boolean
    }
  | { readonly _tag: "Close" }

export type Answer =
  | { readonly _tag: "Opened" }
  /** Every reading client has had so many up-to-date events; when each of them had the last one. */
  | {
      readonly _tag: "Delivered"
      readonly wave: number
      readonly at: ReadonlyArray<number>
      readonly rows: number
    }
  | { readonly _tag: "Failed"; readonly message: string }

const tell = (answer: Answer): void => void process.send?.(answer)

const upToDate = '"control":"up-to-date"'
const insert = '"operation":"insert"'

const sockets: Array<Socket> = []
const waves = new Map<number, Array<number>>()
let rows = 0
let readers = 0
let isClosing = false

const occurrences = (text: string, part: string): number => text.split(part).length - 1

const delivered = (wave: number): void => {
  const at = waves.get(wave) ?? []
  waves.set(wave, at)
  at.push(nowMillis())
  if (at.length < readers) return
  waves.delete(wave)
  tell({ _tag: "Delivered", wave, at, rows })
}

const openOne = (port: number, request: string, reads: boolean): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" })
    let seen = 0
    let tail = ""
    let hasBegun = false
    socket.once("error", reject)
    socket.once("connect", () => socket.write(request, "latin1"))
    socket.once("close", () => {
      if (reads && !isClosing) tell({ _tag: "Failed", message: "The service ended a stream that was read." })
    })
    socket.on("data", (data) => {
      const text = tail + data.toString("latin1")
      if (!hasBegun) {
        if (!text.startsWith("HTTP/1.1 200")) return reject(new Error(text.slice(0, 200)))
        if (!text.includes("\r\n\r\n")) return void (tail = text)
        hasBegun = true
        if (!reads) socket.pause()
        resolve()
      }
      // What is cut between two pieces of data is counted with the second.
      rows += occurrences(text, insert) - occurrences(tail, insert)
      const found = occurrences(text, upToDate) - occurrences(tail, upToDate)
      tail = text.slice(-upToDate.length - 1)
      if (reads) for (let i = 0; i < found; i++) delivered(++seen)
    })
    sockets.push(socket)
  })

process.on("message", (command: Command) => {
  if (command._tag === "Close") {
    isClosing = true
    for (const socket of sockets) socket.destroy()
    return
  }
  const { count, path, port, reads } = command
  const request = `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`
  if (reads) readers += count
  const open = async () => {
    for (let opened = 0; opened < count; opened += 100)
      await Promise.all(
        Array.from({ length: Math.min(100, count - opened) }, () => openOne(port, request, reads))
      )
  }
  open().then(
    () => tell({ _tag: "Opened" }),
    (error: unknown) => tell({ _tag: "Failed", message: String(error) })
  )
})
process.send?.({ port: 0 })
