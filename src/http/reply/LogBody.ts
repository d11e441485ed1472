import type { Lsn } from "../../shared/Lsn.ts"
import { enclosed } from "../../shared/Pieces.ts"
import type { LogSlice } from "../../storage/ShapeLogs.ts"
import type { ReplyBody } from "./ApiReply.ts"
import { upToDateMessage } from "./ControlMessage.ts"

/** Largest piece handed to a connection at once: what one stalled client can pin. */
export const pieceBytes = 256 * 1024
/** Bodies up to this size are put together once and shared by all clients that read the same slice. */
const sharedBytes = 64 * 1024
/** Bodies in one piece of up to this size are sent at once: a small snapshot chunk with its brackets. */
export const immediateBytes = pieceBytes + 2
/** Up to here as text: Node sends text and headers in one piece, which costs less than it saves for longer ones. */
const textBytes = 8 * 1024

const open = Buffer.from("[")
const openEmpty = Buffer.from("[]")
const close = Buffer.from("]")

/** Body of a response that says only that there is nothing more. */
export const upToDateBody = (lsn: Lsn): ReplyBody => ({ _tag: "Text", text: `[${upToDateMessage(lsn)}]` })

interface Assembled {
  readonly lsn: Lsn | undefined
  readonly body: ReplyBody
}

/**
 * Keyed by the buffer that the log shares among readers of one offset, so it lives exactly as long as that: many
 * clients woken by one transaction get one body.
 */
const assembled = new WeakMap<Uint8Array, Assembled>()

const fromBuffer = (entries: Uint8Array, tail: Buffer, wholeBytes: number): ReplyBody => {
  const byteLength = open.length + entries.length + tail.length
  if (byteLength <= wholeBytes) {
    const whole = Buffer.concat([open, entries, tail], byteLength)
    return byteLength <= textBytes
      ? { _tag: "Text", text: whole.toString("utf8") }
      : { _tag: "Bytes", pieces: [whole], byteLength }
  }
  const pieces: Array<Uint8Array> = [open]
  for (let at = 0; at < entries.length; at += pieceBytes) pieces.push(entries.subarray(at, at + pieceBytes))
  pieces.push(tail)
  return { _tag: "Bytes", pieces, byteLength }
}

/**
 * The JSON array for a slice of a log. `upToDateLsn` is set when the slice reaches the end: then the array ends
 * with an up-to-date message that claims everything up to that LSN.
 */
export const logBody = (slice: LogSlice, upToDateLsn: Lsn | undefined): ReplyBody => {
  const message = upToDateLsn === undefined ? undefined : upToDateMessage(upToDateLsn)
  const { body } = slice
  if (!(body instanceof Uint8Array)) {
    const { finishedBytes } = slice
    return {
      _tag: "Stream",
      pieces: (buffer) =>
        enclosed(body(buffer), open, (isEmpty) =>
          message === undefined ? close : Buffer.from(isEmpty ? `${message}]` : `,${message}]`)
        ),
      ...(finishedBytes === undefined || message !== undefined
        ? {}
        : { byteLength: open.length + finishedBytes + close.length })
    }
  }
  if (body.length === 0)
    return message === undefined
      ? { _tag: "Bytes", pieces: [openEmpty], byteLength: openEmpty.length }
      : { _tag: "Text", text: `[${message}]` }
  const known = assembled.get(body)
  if (known !== undefined && known.lsn === upToDateLsn) return known.body
  const tail = message === undefined ? close : Buffer.from(`,${message}]`)
  // Finished chunks are kept by storage for many readers: one piece is sent at once, without a wait in between.
  const made = fromBuffer(body, tail, slice.finishedBytes === undefined ? sharedBytes : immediateBytes)
  assembled.set(body, { lsn: upToDateLsn, body: made })
  return made
}
