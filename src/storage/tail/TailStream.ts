import { isBefore, type JournalPlace, type Shown } from "./Shown.ts"
import { type CreatedObject, tailPieceBytes } from "./TailFrames.ts"

/** The connection of a mirror. */
export interface TailSink {
  /** False when nothing more should be written before `TailStream.drained` is called. */
  readonly write: (bytes: Buffer) => boolean
  /** After what was written. */
  readonly end: () => void
  /** At once. */
  readonly cut: () => void
}

/** What a stream asks of its source. */
interface TailOrigin {
  /** The journal of the epoch that it sends; `undefined` once this process writes that no more. */
  readonly shown: () => Shown | undefined
  readonly frame: (place: JournalPlace, length: number) => Buffer | Promise<Buffer | undefined> | undefined
  readonly nowMillis: () => number
  readonly onTrouble: (message: string) => void
  readonly over: () => void
}

/** News of so many objects wait for a slow mirror; from a gap in them it sees that it has to read the chain. */
const mostNews = 64

/** The journal of one epoch on its way to one mirror. */
export class TailStream {
  private readonly origin: TailOrigin
  private readonly sink: TailSink
  private at: JournalPlace
  /** Length of the segment at hand, once it is finished and that was looked up. */
  private sizeOfSegment: number | undefined
  private news: Array<{ readonly end: JournalPlace; readonly frame: Buffer }> = []
  private isOver = false
  private isRunning = false
  private isAsked = false
  private isBlocked = false
  private blockedSinceMillis = 0
  private isSilent = false

  constructor(origin: TailOrigin, sink: TailSink, at: JournalPlace) {
    this.origin = origin
    this.sink = sink
    this.at = { segment: at.segment, position: at.position }
  }

  begin(hello: Buffer): void {
    this.send(hello)
    this.wake()
  }

  /** There may be more to send. */
  wake(): void {
    this.isAsked = true
    if (this.isRunning || this.isOver || this.isBlocked) return
    this.isRunning = true
    void this.run()
  }

  /** An object of the chain is there: the mirror is told when it has been sent what stands in it. */
  created(object: CreatedObject, frame: Buffer): void {
    this.news.push({ end: object, frame })
    if (this.news.length > mostNews) this.news.shift()
    this.wake()
  }

  /** The connection has room again. */
  drained(): void {
    this.isBlocked = false
    this.wake()
  }

  /** To be called at even intervals, some of which are shorter than the mirror's patience. */
  tick(heartbeat: Buffer, patienceMillis: number): void {
    if (this.isBlocked) {
      if (this.origin.nowMillis() - this.blockedSinceMillis >= patienceMillis) this.cut()
      return
    }
    // Also where this process is not the writer any more, and nobody has said so.
    this.wake()
    if (this.isSilent && !this.isOver) this.send(heartbeat)
    this.isSilent = true
  }

  /** The connection is gone. */
  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.news = []
    this.origin.over()
  }

  cut(): void {
    this.sink.cut()
    this.over()
  }

  private finish(): void {
    this.sink.end()
    this.over()
  }

  private send(frame: Buffer): void {
    this.isSilent = false
    if (this.sink.write(frame) || this.isBlocked) return
    this.isBlocked = true
    this.blockedSinceMillis = this.origin.nowMillis()
  }

  private async run(): Promise<void> {
    try {
      while (this.isAsked && !this.isBlocked && !this.isOver) {
        this.isAsked = false
        let step = this.step()
        if (typeof step !== "boolean") step = await step
        if (step) this.isAsked = true
      }
    } catch (error) {
      this.origin.onTrouble(
        `The journal cannot be sent to another instance: ${String(error)}. Its connection is cut; it reads the bucket, and tries again.`
      )
      this.cut()
    } finally {
      this.isRunning = false
    }
  }

  /** Sends one thing. False when there is nothing to send now. */
  private step(): boolean | Promise<boolean> {
    const shown = this.origin.shown()
    const [first] = this.news
    if (first !== undefined && !isBefore(this.at, first.end)) {
      this.news.shift()
      this.send(first.frame)
      return true
    }
    if (shown === undefined) {
      this.finish()
      return false
    }
    const { showable } = shown
    if (!isBefore(this.at, showable)) return false
    if (this.at.segment === showable.segment) return this.sendUpTo(showable.position)
    return this.sizeOfSegment === undefined ? this.lookUpSize(shown) : this.sendUpTo(this.sizeOfSegment)
  }

  private async lookUpSize(shown: Shown): Promise<boolean> {
    const { segment } = this.at
    if (!shown.holds(segment)) {
      this.finish()
      return false
    }
    this.sizeOfSegment = await shown.sizeOf(segment)
    return true
  }

  private sendUpTo(end: number): boolean | Promise<boolean> {
    const { position, segment } = this.at
    if (position >= end) {
      this.at = { segment: segment + 1, position: 0 }
      this.sizeOfSegment = undefined
      return true
    }
    const length = Math.min(end - position, tailPieceBytes)
    const frame = this.origin.frame(this.at, length)
    return frame instanceof Promise
      ? frame.then((read) => this.sendBytes(read, length))
      : this.sendBytes(frame, length)
  }

  private sendBytes(frame: Buffer | undefined, length: number): boolean {
    if (this.isOver) return false
    if (frame === undefined) {
      this.finish()
      return false
    }
    this.at = { segment: this.at.segment, position: this.at.position + length }
    this.send(frame)
    return true
  }
}
