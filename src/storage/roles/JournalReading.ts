import type { JournalReader } from "../journal/JournalReader.ts"
import type { PollResult } from "../journal/PollResult.ts"
import { readToEnd } from "../journal/ReadToEnd.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { StorageContents } from "./StorageContents.ts"

const nowhere: JournalEnd = { epoch: 0, segment: 0, position: 0 }

/**
 * The reading end of a journal that somebody else writes: where reading has got to. It passes from one role that reads to
 * the next. Without a reader nothing has been read yet, or what was read is of no use: storage is loaded first.
 */
export class JournalReading {
  readonly contents: StorageContents
  private reader: JournalReader | undefined

  constructor(contents: StorageContents, reader: JournalReader | undefined) {
    this.contents = contents
    this.reader = reader
  }

  /** Zeros before there is any. */
  get end(): JournalEnd {
    return this.reader?.end ?? nowhere
  }

  get isLoaded(): boolean {
    return this.reader !== undefined
  }

  /** Reads storage anew and continues behind it. Until that is done everything stays as it was. */
  async load(): Promise<void> {
    const loaded = await this.contents.read()
    const before = this.reader
    this.reader = loaded.reader
    const files = this.contents.adopt(loaded)
    await before?.close()
    await files.close()
  }

  /** Applies some of what is new. */
  poll(): Promise<PollResult> {
    return this.reader === undefined ? Promise.resolve("stale") : this.reader.poll()
  }

  /** Applies all of what is new. */
  toEnd(): ReturnType<typeof readToEnd> {
    return this.reader === undefined ? Promise.resolve("stale") : readToEnd(this.reader)
  }

  async close(): Promise<void> {
    await this.reader?.close()
  }
}
