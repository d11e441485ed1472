import type { ByteWriter } from "../shared/ByteWriter.ts"
import { EscapeKernel } from "./EscapeKernel.ts"

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

/** From this length on the kernel is faster than a loop (measured: scripts/bench/encode.ts). */
const kernelBytes = 128

let made: EscapeKernel | undefined

/** Made when it is first needed: that takes some milliseconds. */
const kernel = (): EscapeKernel => (made ??= new EscapeKernel(new Map(replaced())))

/** What a slash becomes counts in keys only. */
function* replaced(): Generator<readonly [number, string]> {
  const out = Buffer.alloc(mostEscapedBytes)
  for (const [byte, escape] of escapes.entries())
    if (escape !== 0) yield [byte, out.toString("latin1", 0, writeEscape(out, 0, byte, escape))]
  yield [slash, "//"]
}

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
  if (length >= kernelBytes) return appendLongJsonText(w, source, start, length)
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
  // Once: a large value that outgrows its buffer again and again is copied as often.
  w.reserve(length + (length >> 3))
  kernel().append(w, source, start, length, quote)
}

/** As `appendJsonText`, with every `/` doubled: the form of a value inside a row's key. */
export const appendKeyText = (w: ByteWriter, source: Buffer, start: number, length: number): void => {
  if (length >= kernelBytes) return appendLongKeyText(w, source, start, length)
  w.reserve(length * mostEscapedBytes)
  const out = w.buffer
  let at = w.length
  for (let i = start, end = start + length; i < end; i++) {
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

const appendLongKeyText = (w: ByteWriter, source: Buffer, start: number, length: number): void => {
  const { gaps } = w
  if (gaps !== undefined && length >= gaps.leastBytes) return gaps.leave(w, source, start, length, true)
  kernel().append(w, source, start, length, slash)
}
