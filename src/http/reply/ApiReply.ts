import type { Effect } from "effect"
import type { ShapeReadError } from "../../storage/ShapeLogs.ts"

/**
 * Takes one piece of a body (at most 256 KiB) and completes when the client has room for the next one. Never
 * fails: when the client is gone, the fiber that writes is interrupted.
 */
export type WritePiece = (piece: Uint8Array) => Effect.Effect<void>

/** Writes a body, piece by piece. */
export type WriteBody = (write: WritePiece) => Effect.Effect<void, ShapeReadError>

export type ReplyBody =
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Text"; readonly text: string }
  /** Known in advance, in pieces that are sent one after the other and may be shared with other responses. */
  | { readonly _tag: "Bytes"; readonly pieces: ReadonlyArray<Uint8Array>; readonly byteLength: number }
  /** Produced while it is sent; nothing is produced that the client has no room for. */
  | {
      readonly _tag: "Stream"
      readonly run: WriteBody
      /** The same, for adapters that are done with a piece when they ask for the next: see `LogPieces.into`. */
      readonly pieces?: (buffer: Buffer) => AsyncGenerator<Uint8Array>
      readonly byteLength?: number
    }
  /** Server-sent events: the client must learn the headers now, even if the first event is long in coming. */
  | { readonly _tag: "Events"; readonly run: WriteBody }

/** A response as plain data. Adapters add `date`, framing and connection headers. */
export interface ApiReply {
  readonly status: number
  /**
   * Names (lower case) and values in turn, in the order in which they are sent. Made for this reply: the adapter that sends it
   * may append to it.
   */
  readonly headers: Array<string>
  readonly body: ReplyBody
  /** The connection cannot be used for another request. */
  readonly closeConnection: boolean
}

export const emptyBody: ReplyBody = { _tag: "Empty" }

/** Value of a header (lower-case name); for tests and adapters, not for the hot path. */
export const replyHeader = (reply: ApiReply, name: string): string | undefined => {
  const at = reply.headers.findIndex((item, i) => i % 2 === 0 && item === name)
  return at < 0 ? undefined : reply.headers[at + 1]
}
