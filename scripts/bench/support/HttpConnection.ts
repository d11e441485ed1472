import { connect, type Socket } from "node:net"
import { nowMillis } from "./Clock.ts"

export interface Reply {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  /** Empty when the caller took the pieces itself. */
  readonly body: Buffer
  readonly bodyBytes: number
  readonly firstByteAt: number
  readonly endAt: number
}

type TakeBody = (piece: Buffer) => void

const headEnd = Buffer.from("\r\n\r\n")

/**
 * One keep-alive HTTP/1.1 connection to 127.0.0.1, one request at a time. Much cheaper than an HTTP client library, so
 * that what is measured is the server; understands exactly what a server of this kind sends.
 */
export class HttpConnection {
  readonly socket: Socket
  private readonly port: number
  private input: Buffer = Buffer.alloc(0)
  private waiting:
    { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void } | undefined
  private head: { readonly status: number; readonly headers: ReadonlyMap<string, string> } | undefined
  private firstByteAt = 0
  private take: TakeBody | undefined
  private pieces: Array<Buffer> = []
  private bodyBytes = 0
  /** Bytes left of the body, or of the present chunk. */
  private left = 0
  private chunked = false
  /** Reading the line before a chunk, a chunk, the line end after it, or the trailer. */
  private chunkState: "size" | "data" | "end" | "trailer" = "size"
  private headersSeen: (() => void) | undefined

  private constructor(socket: Socket, port: number) {
    this.socket = socket
    this.port = port
    socket.setNoDelay(true)
    socket.on("data", (data: Buffer) => this.receive(data))
    socket.on("error", (error) => this.fail(error))
    socket.on("close", () => this.fail(new Error("The server closed the connection.")))
  }

  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1" })
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve(new HttpConnection(socket, port))
      })
    })
  }

  /** `take` is given the body as it arrives, and the reply then holds none. `onHead` is called at the end of the headers. */
  request(
    path: string,
    take?: TakeBody,
    options: { readonly method?: string; readonly onHead?: () => void } = {}
  ): Promise<Reply> {
    if (this.waiting !== undefined) throw new Error("One request at a time.")
    this.take = take
    this.headersSeen = options.onHead
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject }
      if (this.socket.destroyed) return this.fail(new Error("The connection is closed."))
      this.socket.write(
        `${options.method ?? "GET"} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${this.port}\r\n\r\n`,
        "latin1"
      )
    })
  }

  close(): void {
    this.waiting = undefined
    this.socket.destroy()
  }

  private fail(error: Error): void {
    const { waiting } = this
    this.waiting = undefined
    waiting?.reject(error)
  }

  private receive(data: Buffer): void {
    if (this.waiting === undefined) return
    if (this.firstByteAt === 0) this.firstByteAt = nowMillis()
    let input = this.input.length === 0 ? data : Buffer.concat([this.input, data])
    if (this.head === undefined) {
      const end = input.indexOf(headEnd)
      if (end === -1) {
        this.input = input
        return
      }
      this.readHead(input.toString("latin1", 0, end))
      input = input.subarray(end + headEnd.length)
    }
    this.input = this.chunked ? this.readChunks(input) : this.readPlain(input)
  }

  private readHead(text: string): void {
    const lines = text.split("\r\n")
    const headers = new Map<string, string>()
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(":")
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
    }
    this.head = { status: Number(lines[0]?.split(" ")[1]), headers }
    this.chunked = headers.get("transfer-encoding") === "chunked"
    this.chunkState = "size"
    this.left = Number(headers.get("content-length") ?? 0)
    this.headersSeen?.()
  }

  private readPlain(input: Buffer): Buffer {
    const part = input.subarray(0, this.left)
    this.body(part)
    this.left -= part.length
    if (this.left === 0) this.complete()
    return input.subarray(part.length)
  }

  private readChunks(input: Buffer): Buffer {
    let at = 0
    for (;;) {
      if (this.chunkState === "data") {
        const part = input.subarray(at, at + this.left)
        this.body(part)
        this.left -= part.length
        at += part.length
        if (this.left > 0) return input.subarray(at)
        this.chunkState = "end"
      }
      const lineEnd = input.indexOf("\r\n", at, "latin1")
      if (lineEnd === -1) return input.subarray(at)
      if (this.chunkState === "end") this.chunkState = "size"
      else if (this.chunkState === "trailer") {
        if (lineEnd === at) {
          this.complete()
          return input.subarray(lineEnd + 2)
        }
      } else {
        this.left = Number.parseInt(input.toString("latin1", at, lineEnd), 16)
        this.chunkState = this.left === 0 ? "trailer" : "data"
      }
      at = lineEnd + 2
    }
  }

  private body(piece: Buffer): void {
    if (piece.length === 0) return
    this.bodyBytes += piece.length
    if (this.take === undefined) this.pieces.push(piece)
    else this.take(piece)
  }

  private complete(): void {
    const { waiting, head } = this
    if (waiting === undefined || head === undefined) return
    const reply: Reply = {
      ...head,
      body: Buffer.concat(this.pieces),
      bodyBytes: this.bodyBytes,
      firstByteAt: this.firstByteAt,
      endAt: nowMillis()
    }
    this.waiting = undefined
    this.head = undefined
    this.pieces = []
    this.bodyBytes = 0
    this.firstByteAt = 0
    waiting.resolve(reply)
  }
}
