import type { JournalReading } from "./JournalReading.ts"

/** Before anybody follows: what was loaded stands as it was read. */
export class Opened {
  readonly _tag = "opened"
  readonly reading: JournalReading

  constructor(reading: JournalReading) {
    this.reading = reading
  }

  /** Completes when every index that counts has proved right. */
  async proved(): Promise<void> {
    const { contents } = this.reading
    while (!(await contents.segments.proveAll())) await this.reading.load()
  }

  close(): Promise<void> {
    return this.reading.close()
  }
}
