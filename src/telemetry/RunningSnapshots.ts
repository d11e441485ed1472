/** The first rows that are being read at the moment, and how much of them there has been. */
export class RunningSnapshots {
  /** Bytes of rows in wire form, since the start of the process. */
  bytes = 0
  private readonly began = new Set<{ readonly sinceMillis: number }>()

  get count(): number {
    return this.began.size
  }

  /** Returns what ends it. */
  begin(nowMillis: number): () => void {
    const one = { sinceMillis: nowMillis }
    this.began.add(one)
    return () => void this.began.delete(one)
  }

  /** For how long the one that began first has been read; 0 when there is none. */
  oldestSeconds(nowMillis: number): number {
    for (const { sinceMillis } of this.began) return (nowMillis - sinceMillis) / 1000
    return 0
  }
}
