import type { PieceSource } from "../../shared/Pieces.ts"
import type { LogSlice } from "../../storage/ShapeLogs.ts"
import { EventFramer, frameShared } from "./EventFramer.ts"
import { pieceBytes } from "../reply/LogBody.ts"

/** Part of a buffer that is for entries; the events made of them are longer by what frames them. */
const entriesShare = 0.45

/** The events of a long slice, one per entry. In a buffer they lie beside the entries of which they are made. */
export const eventPieces = ({ body }: LogSlice): PieceSource =>
  async function* (buffer) {
    const framer = new EventFramer()
    const half = Math.floor((buffer?.length ?? 0) * entriesShare)
    const events = buffer?.subarray(half)
    if (!(body instanceof Uint8Array))
      for await (const piece of body(buffer?.subarray(0, half))) yield framer.frame(piece, events)
    else
      for (let at = 0; at < body.length; at += pieceBytes)
        yield framer.frame(body.subarray(at, at + pieceBytes), events)
  }

/** All events of a slice in one piece, where they are that few; shared by all clients that get them. */
export const smallEvents = ({ body }: LogSlice): Buffer | undefined =>
  body instanceof Uint8Array && body.length <= pieceBytes ? frameShared(body) : undefined
