import type { JournalWriter } from "../journal/JournalWriter.ts"
import type { JournalEnd } from "../records/Records.ts"
import { JournalReading } from "./JournalReading.ts"
import type { RoleContext } from "./RoleContext.ts"
import type { Writing } from "./Writing.ts"

/** A writer on its way out. What it has composed is still in its memory, where readers find it. */
export class Leaving {
  readonly _tag = "leaving"
  readonly writer: JournalWriter
  private readonly context: RoleContext
  private readonly writing: Writing

  constructor(context: RoleContext, writing: Writing) {
    this.context = context
    this.writing = writing
    this.writer = writing.writer
  }

  /**
   * Everything composed goes to disk, unless that takes longer than `limitMillis`. Returns what the journal is read with from
   * now on: from where the writing ended, or without a reader where it is not known what the disk has of it.
   */
  async run(limitMillis: number): Promise<JournalReading> {
    const { writer } = this
    const { contents } = this.context
    writer.ordinary.abandonTransaction()
    writer.late.abandonTransaction()
    contents.store.abandon()
    contents.store.abandonLate()
    const end: JournalEnd = { epoch: writer.epoch, segment: writer.segment, position: writer.position }
    const isWhole = await this.isDurableWithin(limitMillis)
    const closing = writer.close()
    if (!isWhole || writer.isFailing || this.writing.isGone) {
      // A disk that hangs must not hold up anything else; what it has is what counts, and is read when it can be.
      void this.isClosed(closing)
      return new JournalReading(contents, undefined)
    }
    const [isClosed] = await Promise.all([this.isClosed(closing), this.writing.mark()])
    return new JournalReading(contents, isClosed ? contents.readerFrom(end) : undefined)
  }

  /** Whether the disk has closed the file; a file system may say only then that it has lost something. */
  private isClosed(closing: Promise<void>): Promise<boolean> {
    return closing.then(
      () => true,
      (fault: unknown) => {
        this.context.warn(
          `The journal was not closed as it should be: ${String(fault)}. It is read anew.`,
          "BATON-STORAGE-CLOSE"
        )
        return false
      }
    )
  }

  private isDurableWithin(limitMillis: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.context.timers.after(limitMillis, () => resolve(false))
      void this.writer.durable().then((isDurable) => {
        cancel()
        resolve(isDurable)
      })
    })
  }

  /** `run` ends what is to end. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}
