/** Work that is let on in one turn of the event loop, in bytes: a few milliseconds of copies and of what sockets take. */
const turnBytes = 2 << 20

interface Waiting {
  readonly bytes: number
  readonly goOn: () => void
}

/**
 * Turns of the event loop for many who each have much to do: whoever asks goes on in a later turn, in the order in which they have
 * asked, and only so many at once as the bytes allow that they are about to handle. Were each to wait for a turn of its own,
 * they would all come in the same one.
 */
export class ShareTurns {
  private waiting: Array<Waiting> = []

  next(bytes: number): Promise<void> {
    return new Promise((goOn) => {
      this.waiting.push({ bytes, goOn })
      if (this.waiting.length === 1) setImmediate(this.turn)
    })
  }

  private readonly turn = (): void => {
    let bytes = 0
    let count = 0
    while (count < this.waiting.length && bytes < turnBytes) bytes += this.waiting[count++]?.bytes ?? 0
    const now = this.waiting.splice(0, count)
    if (this.waiting.length > 0) setImmediate(this.turn)
    for (const { goOn } of now) goOn()
  }
}
