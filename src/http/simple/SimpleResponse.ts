import type { Socket } from "node:net"

// As a value the module is asked for as `node/Exchange.ts` does it.
const { STATUS_CODES } = process.getBuiltinModule("node:http")

type Done = (error?: Error | null) => void
type ResponseEvent = "close" | "drain" | "finish"

/** What a response needs of the connection that it is on. */
export interface ResponseHost {
  readonly socket: Socket
  /** The lines that all heads end with: the date, and how long the connection is kept. */
  readonly commonLines: (isLast: boolean) => string
  /** Everything was written. */
  readonly ended: (response: SimpleResponse, isLast: boolean) => void
}

/** Up to here head and body, or a chunk and what encloses it, are put together and written in one go. */
const togetherBytes = 16_384

// What Node's own responses refuse as well: a value must not end its line.
const badValue = /[^\t\x20-\x7e\x80-\xff]/
const goodName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const lineEnd = Buffer.from("\r\n")
const lastChunk = "0\r\n\r\n"

/** Chunks of what many clients are sent, for as long as that is kept. Source: RFC 9112, section 7.1. */
const chunks = new WeakMap<Uint8Array, Buffer>()

const chunkOf = (piece: Uint8Array): Buffer => {
  const known = chunks.get(piece)
  if (known !== undefined) return known
  const made = Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, lineEnd])
  chunks.set(piece, made)
  return made
}

const noNames: ReadonlyArray<string> = []

/**
 * The response to a simple request: of Node's responses that which this service asks of them, in a tenth of the memory. `close`
 * is told only if the connection ends before the response does.
 */
export class SimpleResponse {
  private readonly host: ResponseHost
  private listeners:
    Array<{ readonly event: ResponseEvent; readonly hear: Done; readonly once: boolean }> | undefined
  private head: string | undefined
  private isChunked = false
  private isLast = false
  private isEnded = false
  writableFinished = false

  constructor(host: ResponseHost) {
    this.host = host
  }

  get socket(): Socket {
    return this.host.socket
  }

  get destroyed(): boolean {
    return this.host.socket.destroyed
  }

  getHeaderNames(): ReadonlyArray<string> {
    return noNames
  }

  getHeader(): undefined {
    return undefined
  }

  on(event: ResponseEvent, hear: Done): this {
    if (event === "drain") this.socket.on("drain", hear)
    else (this.listeners ??= []).push({ event, hear, once: false })
    return this
  }

  once(event: ResponseEvent, hear: Done): this {
    if (event === "drain") this.socket.once("drain", hear)
    else (this.listeners ??= []).push({ event, hear, once: true })
    return this
  }

  off(event: ResponseEvent, hear: Done): this {
    if (event === "drain") this.socket.off("drain", hear)
    else this.listeners = this.listeners?.filter((other) => other.event !== event || other.hear !== hear)
    return this
  }

  private tell(event: ResponseEvent): void {
    const { listeners } = this
    if (listeners === undefined) return
    this.listeners = listeners.filter((listener) => listener.event !== event || !listener.once)
    for (const listener of listeners) if (listener.event === event) listener.hear()
  }

  /** `headers`: names (lower case) and values in turn. Throws for what would be no header. */
  writeHead(status: number, headers: ReadonlyArray<string>): void {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "unknown"}\r\n`
    let hasLength = status === 204 || status === 304
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? ""
      const value = headers[i + 1] ?? ""
      if (badValue.test(value) || !goodName.test(name))
        throw new TypeError(`no header of a response: ${JSON.stringify(name)}`)
      if (name === "content-length") hasLength = true
      else if (name === "connection") {
        this.isLast = value === "close"
        continue
      }
      head += `${name}: ${value}\r\n`
    }
    this.isChunked = !hasLength
    this.head = `${head}${this.host.commonLines(this.isLast)}${hasLength ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n"}`
  }

  private takeHead(): string {
    const { head = "" } = this
    this.head = undefined
    return head
  }

  flushHeaders(): void {
    if (this.head !== undefined) this.socket.write(this.takeHead(), "latin1")
  }

  /** False when there is no room for another piece before `drain`. `done`: the bytes are needed no more. */
  write(piece: Uint8Array, done?: Done): boolean {
    const { socket } = this
    if (piece.length === 0) {
      done?.()
      return true
    }
    // What is lent may be another thing by the time that it is sent again.
    if (this.isChunked && done === undefined && piece.length <= togetherBytes) {
      this.flushHeaders()
      return socket.write(chunkOf(piece))
    }
    socket.cork()
    this.flushHeaders()
    if (this.isChunked) socket.write(`${piece.length.toString(16)}\r\n`, "latin1")
    const hasRoom = socket.write(piece, this.isChunked ? undefined : done)
    const hasRoomAfter = this.isChunked ? socket.write(lineEnd, done) : hasRoom
    socket.uncork()
    return hasRoomAfter
  }

  end(piece?: Uint8Array | string): void {
    if (this.isEnded) return
    this.isEnded = true
    const { socket } = this
    if (typeof piece === "string" && !this.isChunked) socket.write(this.takeHead() + piece, "utf8")
    else {
      socket.cork()
      if (piece !== undefined) this.write(typeof piece === "string" ? Buffer.from(piece) : piece)
      this.flushHeaders()
      if (this.isChunked) socket.write(lastChunk, "latin1")
      socket.uncork()
    }
    this.host.ended(this, this.isLast)
  }

  /** Cuts it, so that it does not look complete to its client. */
  destroy(): void {
    this.socket.destroy()
  }

  /** For the connection: the client has, or the system, what was written. */
  finished(): void {
    this.writableFinished = true
    this.tell("finish")
  }

  /** For the connection: it ended before the response did. */
  closed(): void {
    this.tell("close")
  }
}
