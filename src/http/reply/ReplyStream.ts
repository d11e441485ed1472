import { Effect, Queue, Stream } from "effect"
import type { ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ReplyBody } from "./ApiReply.ts"

/**
 * A body as a stream, one piece per array and at most one waiting: a consumer that does not read holds two or three
 * pieces, whatever the length of the body.
 */
export const replyStream = (body: ReplyBody): Stream.Stream<Uint8Array, ShapeReadError> => {
  switch (body._tag) {
    case "Empty":
      return Stream.empty
    case "Text":
      return Stream.make(Buffer.from(body.text))
    case "Bytes":
      return Stream.fromIterable(body.pieces).pipe(Stream.rechunk(1))
    case "Stream":
    case "Events":
      return Stream.callback<Uint8Array, ShapeReadError>(
        (queue) =>
          Effect.andThen(
            body.run((piece) => Effect.asVoid(Queue.offer(queue, piece))),
            Queue.end(queue)
          ),
        { bufferSize: 1, strategy: "suspend" }
      ).pipe(Stream.rechunk(1))
  }
}
