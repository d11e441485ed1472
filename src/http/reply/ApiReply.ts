import type { PieceSource } from "../../shared/Pieces.ts"

export type ReplyBody =
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Text"; readonly text: string }
  /** Known in advance, in pieces that are sent one after the other and may be shared with other responses. */
  | { readonly _tag: "Bytes"; readonly pieces: ReadonlyArray<Uint8Array>; readonly byteLength: number }
  /**
   * Produced while it is sent; nothing is produced that the client has no room for. Throws `ShapeReadError`: then the
   * response is cut, so that it does not look complete.
   */
  | { readonly _tag: "Stream"; readonly pieces: PieceSource; readonly byteLength?: number }
  /**
   * The head of server-sent events, which an `EventStream` writes: the client must learn the headers now, even if the
   * first event is long in coming.
   */
  | { readonly _tag: "Events" }

/** What stands in a body whole, one piece after the other, for those who have no buffer for it. */
export const bodyPieces = (body: ReplyBody): Iterable<Uint8Array> | AsyncIterable<Uint8Array> => {
  switch (body._tag) {
    case "Empty":
    case "Events":
      return []
    case "Text":
      return [Buffer.from(body.text)]
    case "Bytes":
      return body.pieces
    case "Stream":
      return body.pieces()
  }
}

/** Bytes of a body, as far as they are known before it is sent. */
export const lengthOfBody = (body: ReplyBody): number | undefined => {
  switch (body._tag) {
    case "Empty":
      return 0
    case "Text":
      return Buffer.byteLength(body.text)
    case "Events":
      return undefined
    default:
      return body.byteLength
  }
}

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
