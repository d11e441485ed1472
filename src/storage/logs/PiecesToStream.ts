import { Stream } from "effect"

/**
 * A stream of the pieces that a generator yields, one at a time as the consumer takes them. The generator is ended
 * (its files closed) when the consumer stops early.
 */
export const piecesToStream = <E>(
  pieces: () => AsyncGenerator<Buffer>,
  onError: (cause: unknown) => E
): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => Stream.fromAsyncIterable(pieces(), onError)).pipe(Stream.rechunk(1))

/** The same pieces; what goes wrong is thrown as `onError` says. */
export async function* failingWith<E>(
  pieces: AsyncGenerator<Buffer>,
  onError: (cause: unknown) => E
): AsyncGenerator<Buffer> {
  try {
    yield* pieces
  } catch (cause) {
    throw onError(cause)
  }
}
