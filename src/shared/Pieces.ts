/**
 * Makes the pieces of something long, from its beginning, as its consumer asks for them. With a buffer they lie in that or in
 * memory that never changes: a consumer has to be done with one when it asks for the next, and the buffer costs nothing
 * more however long it all is. Without one each has memory of its own, and may be kept. No piece is larger than 256 KiB.
 */
export type PieceSource = (buffer?: Buffer) => AsyncGenerator<Uint8Array>

/** The same pieces; what goes wrong is thrown as `onError` says. */
export async function* failingWith<E>(
  pieces: AsyncGenerator<Uint8Array>,
  onError: (cause: unknown) => E
): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (cause) {
    throw onError(cause)
  }
}

/** The pieces between `before` and what `after` gives; `before` travels with the first piece where that is small. */
export async function* enclosed(
  pieces: AsyncGenerator<Uint8Array>,
  before: Uint8Array,
  after: (isEmpty: boolean) => Uint8Array
): AsyncGenerator<Uint8Array> {
  let isEmpty = true
  for await (const piece of pieces) {
    if (piece.length === 0) continue
    if (!isEmpty) yield piece
    else {
      isEmpty = false
      if (piece.length <= joinedBytes) yield Buffer.concat([before, piece])
      else {
        yield before
        yield piece
      }
    }
  }
  const ending = after(isEmpty)
  yield isEmpty ? Buffer.concat([before, ending]) : ending
}

/** Above this a copy costs more than a packet. */
const joinedBytes = 64 * 1024
