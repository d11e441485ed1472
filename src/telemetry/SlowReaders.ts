/** A response of which a piece waits for its client. */
export interface SlowReader {
  /** When that piece was begun. */
  readonly sinceMillis: number
  /** Of the client, where the connection still knows it. */
  readonly peer: () => string | undefined
}

/** What an operator is told of one. */
export interface SlowReaderReport {
  readonly peer: string | null
  readonly forMillis: number
}

const mostReported = 20
/** Nobody is slow sooner. */
const slowMillis = 1000

/** Clients of this process that do not take what they are sent as fast as it is sent. */
export class SlowReaders {
  private readonly readers = new Set<SlowReader>()
  /** Connections that were cut because their client took nothing for `ELECTRIC_TCP_SEND_TIMEOUT`. */
  cut = 0

  /** Responses of which a piece waits for its client at the moment. */
  get waiting(): number {
    return this.readers.size
  }

  begin(reader: SlowReader): void {
    this.readers.add(reader)
  }

  end(reader: SlowReader): void {
    this.readers.delete(reader)
  }

  /** Those that have taken nothing for a second and longer, the slowest first, a few of them. */
  longest(nowMillis: number): ReadonlyArray<SlowReaderReport> {
    return Array.from(this.readers)
      .filter(({ sinceMillis }) => nowMillis - sinceMillis >= slowMillis)
      .toSorted((a, b) => a.sinceMillis - b.sinceMillis)
      .slice(0, mostReported)
      .map(({ peer, sinceMillis }) => ({
        peer: peer() ?? null,
        forMillis: Math.round(nowMillis - sinceMillis)
      }))
  }
}
