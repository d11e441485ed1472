/** How this process has become active once. */
interface RecordedTakeover {
  readonly atMillis: number
  readonly epoch: number
  readonly millis: number
  readonly steps: ReadonlyArray<{ readonly name: string; readonly millis: number }>
}

const remembered = 20

/** The last takeovers of this process, the newest first. */
export class TakeoverHistory {
  private list: ReadonlyArray<RecordedTakeover> = []

  get recent(): ReadonlyArray<RecordedTakeover> {
    return this.list
  }

  add(takeover: RecordedTakeover): void {
    this.list = [takeover, ...this.list].slice(0, remembered)
  }
}
