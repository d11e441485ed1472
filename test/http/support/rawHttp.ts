import { connect, type Socket } from "node:net"
import { Effect } from "effect"
import { patient } from "../../../testing/Load.ts"

export interface RawResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const headEnd = "\r\n\r\n"

/** One HTTP/1.1 connection, for what well-behaved clients do not do. */
export class RawConnection {
  readonly socket: Socket
  text = ""
  ended = false
  private readonly listeners = new Set<() => void>()

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1")
    const tell = () => {
      for (const listener of this.listeners) listener()
    }
    this.socket.on("data", (data: Buffer) => {
      this.text += data.toString("latin1")
      tell()
    })
    this.socket.on("error", () => {})
    this.socket.on("close", () => {
      this.ended = true
      tell()
    })
  }

  /** Waits until something holds of what has arrived; the deadline grows with the load of the machine. */
  until(holds: () => boolean, what: string, idleMillis = 5000): Promise<void> {
    const millis = patient(idleMillis)
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!holds()) return
        clearTimeout(timer)
        this.listeners.delete(check)
        resolve()
      }
      const timer = setTimeout(() => {
        this.listeners.delete(check)
        reject(new Error(`not within ${millis} ms: ${what}; received: ${this.text.slice(0, 500)}`))
      }, millis)
      this.listeners.add(check)
      check()
    })
  }

  /** The next complete response with a content length or in chunks; it is taken out of `text`. */
  async response(isHead = false): Promise<RawResponse> {
    await this.until(() => this.text.includes(headEnd) || this.ended, "response head")
    const head = this.text.slice(0, this.text.indexOf(headEnd))
    const [statusLine = "", ...lines] = head.split("\r\n")
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)])
    )
    const start = head.length + headEnd.length
    const status = Number(statusLine.split(" ")[1])
    let body = ""
    let end = start
    if (headers["transfer-encoding"] === "chunked" && !isHead) {
      await this.until(() => this.text.indexOf("0\r\n\r\n", start) >= 0 || this.ended, "last chunk")
      let at = start
      for (;;) {
        const lineEnd = this.text.indexOf("\r\n", at)
        const size = Number.parseInt(this.text.slice(at, lineEnd), 16)
        if (!(size > 0)) {
          end = lineEnd + 4
          break
        }
        body += this.text.slice(lineEnd + 2, lineEnd + 2 + size)
        at = lineEnd + 2 + size + 2
      }
    } else if (!isHead && status !== 304 && status !== 204) {
      const length = Number(headers["content-length"] ?? 0)
      await this.until(() => this.text.length >= start + length || this.ended, "body")
      body = this.text.slice(start, start + length)
      end = start + length
    }
    this.text = this.text.slice(end)
    return { status, headers, body: Buffer.from(body, "latin1").toString("utf8") }
  }

  send(text: string): void {
    this.socket.write(text, "latin1")
  }

  get(target: string, headers = ""): Promise<RawResponse> {
    this.send(`GET ${target} HTTP/1.1\r\nhost: test\r\n${headers}\r\n`)
    return this.response()
  }
}

/** A connection that is closed with the test. */
export const rawConnection = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new RawConnection(port)),
    (connection) => Effect.sync(() => connection.socket.destroy())
  )

/** Polls until a condition holds, with a deadline that grows with the load of the machine. */
export const eventually = (holds: () => boolean, what: string, millis = 5000): Effect.Effect<void> =>
  Effect.promise(
    () =>
      new Promise<void>((resolve, reject) => {
        const began = performance.now()
        const look = () => {
          if (holds()) resolve()
          else if (performance.now() - began > patient(millis))
            reject(new Error(`not within ${millis} ms: ${what}`))
          else setTimeout(look, 5)
        }
        look()
      })
  )
