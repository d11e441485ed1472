import { lookup as systemLookup, type LookupAllOptions, type LookupAddress } from "node:dns"
import { readFile } from "node:fs/promises"
import * as net from "node:net"
import { Duplex } from "node:stream"
import * as tls from "node:tls"

/** How to reach the server; see `transportOptions` for where the values come from. */
export interface TransportOptions {
  /** Name, IPv4 or IPv6 address, or (with a leading `/`) the directory of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly sslMode: "disable" | "allow" | "prefer" | "require"
  /** PEM file; its presence turns on verification of certificate and host name, and rules out plain text. */
  readonly caCertificateFile: string | undefined
  readonly preferIpv6: boolean
  /** TCP keepalive probes start after so much silence. */
  readonly keepAliveIdleMillis: number
  /** Replaces name resolution in tests. */
  readonly lookup?: Lookup
  /** Allows `readInPlace`: room for one piece of what comes, used again for each. */
  readonly readBufferBytes?: number | undefined
}

type Lookup = (
  host: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: Array<LookupAddress>) => void
) => void

/**
 * How long one of several addresses may take before the next one is tried: long enough for a slow network (Node's own
 * 250 ms are not), short enough for all to get their turn within a connect timeout.
 */
const addressAttemptMillis = 2000

/** Source: PostgreSQL documentation, "Message Formats", SSLRequest. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/** A failure of this side of the connection; `code` is what `classifyPgError` goes by. */
class TransportError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.name = "TransportError"
    this.code = code
  }
}

/**
 * One connection to Postgres, TLS negotiated: a byte stream that the protocol implementations of `pg` and
 * `@effect/sql-pg` use as if it were a plain socket, so that both follow the same rules.
 *
 * Opens by itself once constructed; writes wait until it is open. `sslmode` means: `disable` plain text; `allow` and
 * `prefer` TLS if the server offers it, else plain text; `require` TLS or nothing. The certificate is verified, host name
 * included, if and only if there is a CA file. The file is read for each connection, so a renewed one is noticed.
 * All addresses of a host are tried, the preferred family first.
 */
export class Transport extends Duplex {
  private readonly options: TransportOptions
  private inner: net.Socket | undefined
  /** What the socket reads into; without it the socket takes memory of its own for each piece. */
  private readonly room: Buffer | undefined
  /** Gets what is read into `room`, valid during the call only. */
  private onPiece: ((piece: Buffer) => void) | undefined
  private isInPlace = false
  private isHeld = false
  /** Pieces that came although they were not to. */
  private held: Array<Buffer> = []
  /** Whether the server accepted TLS; `undefined` until the connection is open. */
  encrypted: boolean | undefined

  constructor(options: TransportOptions) {
    super({ allowHalfOpen: false })
    this.options = options
    const { readBufferBytes } = options
    if (readBufferBytes !== undefined) this.room = Buffer.allocUnsafeSlow(readBufferBytes)
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.open().then(
      (socket) => {
        if (this.destroyed) {
          socket.destroy()
          return callback()
        }
        this.attach(socket)
        callback()
        this.emit("connect")
      },
      (error: unknown) => {
        this.inner?.destroy()
        if (this.destroyed)
          callback() // given up meanwhile: what it was destroyed with is the error
        else callback(error instanceof Error ? error : new Error(String(error)))
      }
    )
  }

  /** Streams put off their destruction until they are constructed, which would wait for an unreachable server. */
  override destroy(error?: Error): this {
    this.inner?.destroy()
    return super.destroy(error)
  }

  private async open(): Promise<net.Socket> {
    const {
      host,
      port,
      sslMode,
      caCertificateFile,
      preferIpv6,
      lookup = systemLookup as Lookup
    } = this.options
    if (host.startsWith("/")) {
      const socket = this.watched(net.connect({ path: `${host}/.s.PGSQL.${port}`, ...this.intoRoom() }))
      await once(socket, "connect")
      this.encrypted = false
      return socket
    }
    const socket = this.watched(
      net.connect({
        host,
        port,
        ...this.intoRoom(),
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: this.options.keepAliveIdleMillis,
        autoSelectFamily: true,
        autoSelectFamilyAttemptTimeout: addressAttemptMillis,
        lookup: (name, options, callback) =>
          lookup(
            name,
            { ...options, all: true, order: preferIpv6 ? "ipv6first" : "ipv4first" },
            (error, addresses) => callback(error, addresses)
          )
      })
    )
    await once(socket, "connect")
    const verifies = caCertificateFile !== undefined
    this.encrypted = (sslMode !== "disable" || verifies) && (await this.offersTls(socket))
    if (this.encrypted) return this.startTls(socket)
    if (sslMode === "require" || verifies) {
      throw new TransportError("TLS_REFUSED", "The server does not support TLS")
    }
    return socket
  }

  private async startTls(socket: net.Socket): Promise<net.Socket> {
    const { host, caCertificateFile } = this.options
    const ca = caCertificateFile === undefined ? undefined : await readCaFile(caCertificateFile)
    const secure = this.watched(
      tls.connect({
        socket,
        host,
        // RFC 6066: the name indication must not be an address; verification then goes by `host`.
        ...(net.isIP(host) === 0 ? { servername: host } : {}),
        ...(ca === undefined ? { rejectUnauthorized: false } : { ca, rejectUnauthorized: true })
      })
    )
    await once(secure, "secureConnect")
    return secure
  }

  /** An error that comes while nobody waits for one must not end the process; who looks next sees the socket closed. */
  private watched<Socket extends net.Socket>(socket: Socket): Socket {
    socket.on("error", () => {})
    this.inner = socket
    return socket
  }

  private intoRoom(): { readonly onread?: net.OnReadOpts } {
    const { room } = this
    if (room === undefined) return {}
    const callback = (bytes: number): boolean => {
      this.onPiece?.(room.subarray(0, bytes))
      return true
    }
    return { onread: { buffer: room, callback } }
  }

  /** A socket that reads into `room` has no such events; one that decrypts what such a socket reads has them. */
  private onData(socket: net.Socket, take: (chunk: Buffer) => void): () => void {
    if (this.room === undefined || socket instanceof tls.TLSSocket) {
      socket.on("data", take)
      return () => socket.off("data", take)
    }
    this.onPiece = (piece) => take(Buffer.from(piece))
    return () => (this.onPiece = undefined)
  }

  /** Asks for TLS. Anything but a single `S` or `N` is no answer that can be trusted: nothing is encrypted yet. */
  private offersTls(socket: net.Socket): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        stopData()
        socket.off("error", onError)
        socket.off("close", onClose)
        // Nothing may be lost between the answer and the next reader of the socket.
        socket.pause()
      }
      const stopData = this.onData(socket, (answer) => {
        stop()
        const text = answer.toString("latin1")
        if (text === "S" || text === "N") resolve(text === "S")
        else
          reject(
            new TransportError("TLS_NEGOTIATION", "The server's answer to the request for TLS is not valid")
          )
      })
      const onError = (error: Error) => {
        stop()
        reject(error)
      }
      const onClose = () => {
        stop()
        reject(new TransportError("ECONNRESET", "Connection closed while TLS was negotiated"))
      }
      socket.on("error", onError)
      socket.on("close", onClose)
      socket.write(sslRequest)
    })
  }

  private attach(socket: net.Socket): void {
    let ended = false
    this.onData(socket, (chunk) => {
      if (!this.push(chunk)) socket.pause()
    })
    socket.on("end", () => {
      ended = true
      this.push(null)
      this.read(0) // a stream that nobody reads notices its end, too
    })
    socket.on("error", (error) => this.destroy(error))
    // After an orderly end what was received is still to be read, the server's last words among it.
    socket.on("close", () => {
      if (!ended) this.destroy()
    })
  }

  override _read(): void {
    if (!this.isInPlace) this.inner?.resume()
  }

  /**
   * From now on `reader` is given each piece where the socket has read it, valid during the call only, or for as long as the
   * stream has been paused in that call; there are no `data` events any more. False, and nothing is changed, for an encrypted connection and without
   * `readBufferBytes`.
   */
  readInPlace(reader: (piece: Buffer) => void): boolean {
    if (this.room === undefined || this.encrypted !== false) return false
    const isPaused = this.isInPlace ? this.isHeld : this.isPaused()
    for (let chunk: unknown = this.read(); chunk instanceof Buffer; chunk = this.read()) this.held.push(chunk)
    this.isInPlace = true
    this.onPiece = (piece) => {
      if (!this.isHeld) return reader(piece)
      this.held.push(Buffer.from(piece))
      this.inner?.pause()
    }
    this.release = () => {
      for (let piece = this.held[0]; piece !== undefined && !this.isHeld; piece = this.held[0]) {
        this.held.shift()
        reader(piece)
      }
    }
    if (isPaused) this.pause()
    else this.resume()
    return true
  }

  /** Hands over what is held. */
  private release: () => void = () => {}

  override pause(): this {
    if (!this.isInPlace) return super.pause()
    this.isHeld = true
    this.inner?.pause()
    return this
  }

  override resume(): this {
    if (!this.isInPlace) return super.resume()
    this.isHeld = false
    this.release()
    if (!this.isHeld) this.inner?.resume()
    return this
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    // Open by now: writes are held back until _construct has called back.
    if (this.inner === undefined) callback(new TransportError("ERR_STREAM_DESTROYED", "Connection is closed"))
    else this.inner.write(chunk, callback)
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.inner === undefined || this.inner.destroyed) callback()
    else this.inner.end(() => callback())
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.inner?.destroy()
    callback(error)
  }

  // What `pg` expects of a socket. It is opened, and set up, already.

  connect(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    this.inner?.ref()
    return this
  }

  unref(): this {
    this.inner?.unref()
    return this
  }
}

const readCaFile = async (file: string): Promise<string> => {
  let pem: string
  try {
    pem = await readFile(file, "utf8")
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable"
    throw new TransportError("CA_FILE_UNREADABLE", `The CA certificate file ${file} cannot be read (${code})`)
  }
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new TransportError("CA_FILE_INVALID", `The CA certificate file ${file} holds no PEM certificate`)
  }
  return pem
}

const once = (socket: net.Socket, event: "connect" | "secureConnect"): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = () => {
      socket.off(event, onOpen)
      socket.off("error", onError)
      socket.off("close", onClose)
    }
    const onOpen = () => {
      stop()
      resolve()
    }
    const onError = (error: Error) => {
      stop()
      reject(error)
    }
    const onClose = () => {
      stop()
      reject(new TransportError("ECONNRESET", "Connection closed before it was open"))
    }
    socket.on(event, onOpen)
    socket.on("error", onError)
    socket.on("close", onClose)
  })
