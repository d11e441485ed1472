import { type Cause, Effect, Fiber, Queue, Stream } from "effect"
import { bodyPieces, type ReplyBody } from "../reply/ApiReply.ts"
import type { PieceSource } from "../../shared/Pieces.ts"
import { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { EventStream } from "../shape/EventStream.ts"
import type { ParkedEvents } from "../shape/ParkedRequest.ts"

/**
 * A body as a stream, one piece per array: nothing is read ahead, so a consumer that does not read holds one piece,
 * whatever the length of the body.
 */
export const replyStream = (body: ReplyBody): Stream.Stream<Uint8Array, ShapeReadError> =>
  Stream.suspend(() => streamOf(bodyPieces(body)))

const streamOf = (
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
): Stream.Stream<Uint8Array, ShapeReadError> =>
  Symbol.iterator in pieces
    ? Stream.rechunk(Stream.fromIterable(pieces), 1)
    : Stream.fromAsyncIterable(pieces, (problem) => problem).pipe(
        Stream.catch((problem) =>
          problem instanceof ShapeReadError ? Stream.fail(problem) : Stream.die(problem)
        )
      )

/** The events of a request as a stream, with at most one piece waiting. They are over when the stream ends, or is given up. */
export const eventStream = (events: ParkedEvents): Stream.Stream<Uint8Array, ShapeReadError> =>
  Stream.callback<Uint8Array, ShapeReadError>(
    Effect.fnUntraced(function* (queue) {
      const run = Effect.runForkWith(yield* Effect.context<never>())
      const scope = yield* Effect.scope
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const opened = new QueuedEvents(events, queue, (effect) => Fiber.runIn(run(effect), scope))
          opened.drive()
          return opened
        }),
        (opened) => Effect.sync(() => opened.finish())
      )
    }),
    { bufferSize: 1, strategy: "suspend" }
  ).pipe(Stream.rechunk(1))

type EventQueue = Queue.Queue<Uint8Array, ShapeReadError | Cause.Done>
type Start = <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

/** An event stream whose pieces are taken from a queue. */
class QueuedEvents extends EventStream {
  private readonly queue: EventQueue
  protected readonly start: Start

  constructor(events: ParkedEvents, queue: EventQueue, start: Start) {
    super(events)
    this.queue = queue
    this.start = start
  }

  protected write(bytes: Uint8Array): Effect.Effect<void> | undefined {
    const { queue } = this
    return Queue.offerUnsafe(queue, bytes) ? undefined : Effect.asVoid(Queue.offer(queue, bytes))
  }

  protected writeAll(source: PieceSource): Effect.Effect<void, ShapeReadError> {
    return Stream.runForEach(
      Stream.suspend(() => streamOf(source())),
      (piece) => Queue.offer(this.queue, piece)
    )
  }

  protected end(): Effect.Effect<void> {
    return Effect.asVoid(Queue.end(this.queue))
  }

  protected cut(cause: Cause.Cause<ShapeReadError>): void {
    Queue.failCauseUnsafe(this.queue, cause)
  }

  protected over(): void {}
}
