/** The pieces of a body, each in memory of its own, as those that lie in a buffer have to be taken. */
export const piecesOf = async (source: AsyncIterable<Uint8Array>): Promise<Array<Buffer>> => {
  const pieces: Array<Buffer> = []
  for await (const piece of source) pieces.push(Buffer.from(piece))
  return pieces
}
