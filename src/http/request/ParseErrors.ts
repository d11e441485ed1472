import type { Server } from "node:http"
import type { Socket } from "node:net"
import { duplexPair } from "node:stream"

/** What Node's HTTP parser says about bytes that are no request. */
export interface ParseError extends Error {
  readonly code?: string
  readonly rawPacket?: Buffer
  /** How much of the packet the parser had taken. */
  readonly bytesParsed?: number
}

/** A whole answer for a request that Node could not parse: there is no response object yet. */
const rawAnswer = (status: string, body = ""): string =>
  `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`

const lineFeed = 10
/** In a request line that fits into a packet of its own. Other methods and targets than Node knows are allowed here. */
// eslint-disable-next-line no-control-regex
const requestLine = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^\x00-\x20\x7f]+ HTTP\/1\.[01]\r?$/

/** The packet, if it begins with a request: its first line, and where that ends. */
const firstLine = (
  packet: Buffer | undefined
): { readonly line: string; readonly end: number } | undefined => {
  const end = packet?.indexOf(lineFeed) ?? -1
  if (packet === undefined || end < 0) return undefined
  const line = packet.toString("latin1", 0, end)
  return requestLine.test(line) ? { line, end } : undefined
}

/**
 * Node's parser refuses targets with raw bytes above 127, which people who type a URL for `curl` send. They are UTF-8 or
 * nothing: escaped, they mean the same. Puts the escaped request in the place of the one that came, on the same
 * connection, which ends with the answer. False when there is no whole request line to begin with.
 */
const escapeTarget = (server: Server, socket: Socket, packet: Buffer | undefined): boolean => {
  const first = firstLine(packet)
  const { _httpMessage: answering } = socket as Socket & { readonly _httpMessage?: unknown }
  if (packet === undefined || first === undefined || answering) return false
  const escaped = first.line
    .trimEnd()
    // eslint-disable-next-line no-control-regex
    .replace(/[^\x00-\x7f]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
  // Node's own listeners take its parser off the connection, as if it had ended.
  for (const close of socket.listeners("close")) close.call(socket)
  for (const event of ["data", "end", "close", "drain", "error", "timeout"]) socket.removeAllListeners(event)
  const [inner, outer] = duplexPair()
  socket.on("error", () => {})
  socket.on("close", () => inner.destroy())
  inner.on("close", () => socket.destroySoon())
  server.emit("connection", inner)
  outer.pipe(socket)
  outer.write(
    Buffer.concat([Buffer.from(`${escaped}\r\nConnection: close\r\n`), packet.subarray(first.end + 1)])
  )
  socket.pipe(outer)
  socket.resume()
  return true
}

/** Answers what never became a request, by what the parser says about it. */
export const answerParseError = (error: ParseError, socket: Socket, server?: Server): void => {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy()
    return
  }
  const { bytesParsed = 0, code, rawPacket } = error
  if (code === "HPE_INVALID_URL" && server !== undefined && escapeTarget(server, socket, rawPacket)) return
  // A method that Node does not know is one that the API does not have.
  if (code === "HPE_INVALID_METHOD" && firstLine(rawPacket) !== undefined) {
    socket.end(rawAnswer("404 Not Found", "Not found"))
    return
  }
  let status = "400 Bad Request"
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") status = "408 Request Timeout"
  else if (code === "HPE_HEADER_OVERFLOW") {
    // No line end so far: it is the request line that is too long.
    const inRequestLine = rawPacket !== undefined && rawPacket.lastIndexOf(lineFeed, bytesParsed) < 0
    status = inRequestLine ? "414 URI Too Long" : "431 Request Header Fields Too Large"
  }
  socket.end(rawAnswer(status))
}
