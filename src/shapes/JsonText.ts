import type { ByteWriter } from "../shared/ByteWriter.ts"

const quote = 0x22
const backslash = 0x5c
const slash = 0x2f
const hexDigits = Buffer.from("0123456789abcdef", "latin1")

/** What a byte needs inside a JSON string: 0 nothing, 1 the six-byte form `\u00xx`, otherwise the letter after a backslash. */
const escapes = new Uint8Array(256)
escapes.fill(1, 0, 0x20)
escapes[0x08] = 0x62
escapes[0x09] = 0x74
escapes[0x0a] = 0x6e
escapes[0x0c] = 0x66
escapes[0x0d] = 0x72
escapes[quote] = quote
escapes[backslash] = backslash

/** The longest that a byte can become. */
export const mostEscapedBytes = 6

/** From this length on, runs without escapes are found first and copied whole (measured: scripts/bench/encode.ts). */
const runCopyBytes = 128
const shortRunBytes = 48

/** Writes `escape` for `byte` at `at`, returns the position after it. Six bytes must be free. */
const writeEscape = (out: Buffer, at: number, byte: number, escape: number): number => {
  out[at] = backslash
  if (escape !== 1) {
    out[at + 1] = escape
    return at + 2
  }
  out[at + 1] = 0x75
  out[at + 2] = 0x30
  out[at + 3] = 0x30
  out[at + 4] = hexDigits[byte >> 4] as number
  out[at + 5] = hexDigits[byte & 15] as number
  return at + 6
}

/**
 * Appends UTF-8 bytes as the inside of a JSON string (without the quotes). Bytes from 0x80 up pass unchanged, so
 * valid UTF-8 stays valid; the result is what `JSON.stringify` writes, except that lone surrogates cannot occur.
 */
export const appendJsonText = (w: ByteWriter, source: Buffer, start: number, length: number): void => {
  if (length >= runCopyBytes) return appendLongJsonText(w, source, start, length)
  w.reserve(length * mostEscapedBytes)
  const out = w.buffer
  let at = w.length
  for (let i = start, end = start + length; i < end; i++) {
    const byte = source[i] as number
    const escape = escapes[byte] as number
    if (escape === 0) out[at++] = byte
    else at = writeEscape(out, at, byte, escape)
  }
  w.length = at
}

const appendLongJsonText = (w: ByteWriter, source: Buffer, start: number, length: number): void => {
  const { gaps } = w
  if (gaps !== undefined && length >= gaps.leastBytes) return gaps.leave(w, source, start, length, false)
  const end = start + length
  // Once: a large value that outgrows its buffer again and again is copied as often.
  w.reserve(length + (length >> 3))
  for (let from = start; from < end;) {
    let to = from
    while (to < end && escapes[source[to] as number] === 0) to++
    w.reserve(to - from + mostEscapedBytes)
    const out = w.buffer
    const at = w.length
    if (to - from >= shortRunBytes) source.copy(out, at, from, to)
    else for (let i = from; i < to; i++) out[at + i - from] = source[i] as number
    w.length = at + to - from
    if (to < end) {
      const byte = source[to++] as number
      w.length = writeEscape(w.buffer, w.length, byte, escapes[byte] as number)
    }
    from = to
  }
}

/** As `appendJsonText`, with every `/` doubled: the form of a value inside a row's key. */
export const appendKeyText = (w: ByteWriter, source: Buffer, start: number, length: number): void => {
  const { gaps } = w
  if (gaps !== undefined && length >= gaps.leastBytes) return gaps.leave(w, source, start, length, true)
  const blockBytes = 64 * 1024
  for (let from = start, end = start + length; from < end; from += blockBytes) {
    const to = Math.min(from + blockBytes, end)
    w.reserve((to - from) * mostEscapedBytes)
    const out = w.buffer
    let at = w.length
    for (let i = from; i < to; i++) {
      const byte = source[i] as number
      const escape = escapes[byte] as number
      if (escape !== 0) at = writeEscape(out, at, byte, escape)
      else {
        out[at++] = byte
        if (byte === slash) out[at++] = slash
      }
    }
    w.length = at
  }
}
