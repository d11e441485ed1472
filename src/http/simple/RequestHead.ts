/** The longest head that is read here, its last empty line included. */
const maxBytes = 8192
const maxHeaders = 50

const space = 32
const tab = 9
const lineFeed = 10
const carriageReturn = 13
const colon = 58

const start = Buffer.from("GET /v1/shape?")
const version = Buffer.from(" HTTP/1.1\r\n")

/** What may stand in the name of a header. Source: RFC 9110, section 5.6.2. */
const isToken = new Uint8Array(256)
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
  isToken[character.charCodeAt(0)] = 1

/** Names that make more of a request than its head, or say what becomes of its connection. */
const telling = [
  "content-length",
  "transfer-encoding",
  "expect",
  "upgrade",
  "proxy-connection",
  "http2-settings"
].map((name) => Buffer.from(name))
const host = Buffer.from("host")
const connection = Buffer.from("connection")
const keepAlive = Buffer.from("keep-alive")

/** Whether the bytes from `from` on are `expected` (lower case), whatever their case. */
const isText = (bytes: Uint8Array, from: number, to: number, expected: Uint8Array): boolean => {
  if (to - from !== expected.length) return false
  for (let i = 0; i < expected.length; i++) if (((bytes[from + i] ?? 0) | 32) !== expected[i]) return false
  return true
}

const begins = (bytes: Uint8Array, at: number, expected: Uint8Array): boolean => {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
  return true
}

/**
 * The head of a request that is nothing but that: `GET` of a shape with HTTP/1.1, whole, alone and in order, on a connection that
 * goes on. Where its parts are; the bytes are those that came.
 */
export interface RequestHead {
  readonly bytes: Buffer
  readonly target: string
  /** Of each header where its name begins and ends, and where its value does. */
  readonly places: ReadonlyArray<number>
}

/** Whether a header of this name stands among `places`. What differs by `^` and `~` alone counts as the same. */
const isAmong = (bytes: Uint8Array, places: ReadonlyArray<number>, from: number, to: number): boolean => {
  for (let i = 0; i < places.length; i += 4) {
    const other = places[i] ?? 0
    if ((places[i + 1] ?? 0) - other !== to - from) continue
    let at = 0
    while (at < to - from && ((bytes[other + at] ?? 0) | 32) === ((bytes[from + at] ?? 0) | 32)) at++
    if (at === to - from) return true
  }
  return false
}

/**
 * Reads the bytes that have arrived on a connection as such a head. `undefined` for everything else, right or wrong: what it is
 * then, and what is to be answered, is for a whole HTTP parser to say. So this takes less than the protocol allows: no line in
 * pieces, nothing behind the head, no header twice, no byte outside of ASCII.
 */
export const readHead = (bytes: Buffer): RequestHead | undefined => {
  const size = bytes.length
  if (size > maxBytes || size < start.length + version.length || !begins(bytes, 0, start)) return undefined
  let at = start.length
  for (let byte = bytes[at] ?? 0; byte > space && byte < 127; byte = bytes[at] ?? 0) at++
  if (!begins(bytes, at, version)) return undefined
  const targetEnd = at
  at += version.length
  const places: Array<number> = []
  let hasHost = false
  while (bytes[at] !== carriageReturn) {
    const name = at
    while (isToken[bytes[at] ?? 0] === 1) at++
    const nameEnd = at
    if (nameEnd === name || bytes[at] !== colon) return undefined
    at++
    while (bytes[at] === space || bytes[at] === tab) at++
    const value = at
    for (let byte = bytes[at] ?? 0; (byte >= space && byte < 127) || byte === tab; byte = bytes[at] ?? 0) at++
    if (bytes[at] !== carriageReturn || bytes[at + 1] !== lineFeed) return undefined
    let valueEnd = at
    while (valueEnd > value && (bytes[valueEnd - 1] === space || bytes[valueEnd - 1] === tab)) valueEnd--
    at += 2
    if (places.length === maxHeaders * 4 || isAmong(bytes, places, name, nameEnd)) return undefined
    for (const other of telling) if (isText(bytes, name, nameEnd, other)) return undefined
    if (isText(bytes, name, nameEnd, host)) hasHost = value < valueEnd
    else if (isText(bytes, name, nameEnd, connection) && !isText(bytes, value, valueEnd, keepAlive))
      return undefined
    places.push(name, nameEnd, value, valueEnd)
  }
  // Nothing behind it, and nothing missing.
  if (!hasHost || at + 2 !== size || bytes[at + 1] !== lineFeed) return undefined
  return { bytes, target: bytes.toString("latin1", "GET ".length, targetEnd), places }
}
