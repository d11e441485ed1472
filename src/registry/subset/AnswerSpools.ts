import { Effect, Schema, type Scope } from "effect"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { openSpoolFile, type SpoolFile } from "./SpoolFile.ts"
import { systemTimers, type Timers } from "../../shared/Timers.ts"
import { answerPatienceMillis } from "../RegistryTimings.ts"

/** The answer is larger than any that is given. Final for this query. */
export class AnswerTooLarge extends Schema.TaggedError<AnswerTooLarge>()("AnswerTooLarge", {
  message: Schema.String
}) {}

/** There is no room for the answer now: others are still being fetched, or the disk does not take it. Passes. */
export class NoRoomForAnswer extends Schema.TaggedError<NoRoomForAnswer>()("NoRoomForAnswer", {
  message: Schema.String,
  /** For the operator: why the disk does not take it. */
  report: Schema.UndefinedOr(Schema.String)
}) {}

/** What one answer may have in memory; most have less. */
const memoryPerAnswerBytes = 1024 * 1024
/** Of what comes from a file, where its consumer has no buffer. */
const pieceBytes = 64 * 1024
/** What all answers together may have in memory. */
const memoryBytes = 64 * 1024 * 1024

const givenUp = "it was given up for others: its client took it too slowly, and there was no room left"

/**
 * Answers whose clients have yet to take them. A query is read as fast as Postgres gives it out, whatever its client
 * does, so that its connection and its snapshot are free at once; the answer waits here, the beginning in memory, the rest
 * in a file without a name. The room is bounded, per answer and in all. Answers that have been fetched for long give way
 * when there is none left, the oldest first: nobody keeps room from others by reading slowly.
 */
export class AnswerSpools {
  private readonly limits: Limits
  private readonly directories: ReadonlyArray<string>
  private readonly timers: Timers
  private heldBytes = 0
  private memoryBytes = 0
  /** Complete ones, in the order in which they became so. */
  private readonly complete = new Set<AnswerSpool>()

  /** `directories`: for files; the first that takes one. */
  constructor(limits: Limits, directories: ReadonlyArray<string>, timers: Timers = systemTimers) {
    this.timers = timers
    this.limits = limits
    this.directories = directories
  }

  /** Bytes that all open spools hold, in memory and in files. */
  held(): { readonly bytes: number; readonly memoryBytes: number } {
    return { bytes: this.heldBytes, memoryBytes: this.memoryBytes }
  }

  /** An empty spool. What it holds is free when the scope closes. */
  readonly open: Effect.Effect<AnswerSpool, never, Scope.Scope> = Effect.acquireRelease(
    Effect.sync(() => new AnswerSpool(this.room)),
    (spool) => spool.close
  )

  private readonly room: Room = {
    nowMillis: () => this.timers.nowMillis(),
    reserve: (bytes, answerBytes) => {
      if (answerBytes > this.limits.subsetBytes)
        return new AnswerTooLarge({ message: aboveLimit("subsetBytes", this.limits) })
      if (!this.free(() => this.heldBytes + bytes <= this.limits.subsetsHeldBytes))
        return new NoRoomForAnswer({
          message: aboveLimit("subsetsHeldBytes", this.limits),
          report: undefined
        })
      this.heldBytes += bytes
      return undefined
    },
    reserveMemory: (bytes) => {
      if (!this.free(() => this.memoryBytes + bytes <= memoryBytes)) return false
      this.memoryBytes += bytes
      return true
    },
    release: (spool, bytes, inMemory) => {
      this.complete.delete(spool)
      this.heldBytes -= bytes
      this.memoryBytes -= inMemory
    },
    completed: (spool) => void this.complete.add(spool),
    openFile: () => openSpoolFile(this.directories)
  }

  /** Makes room by giving up answers, if there are such, until there is enough. */
  private free(isEnough: () => boolean): boolean {
    if (isEnough()) return true
    const before = this.timers.nowMillis() - answerPatienceMillis
    for (const spool of this.complete) {
      if (spool.completedMillis > before) break
      spool.giveUp()
      if (isEnough()) return true
    }
    return false
  }
}

/** What a spool needs of all of them. */
interface Room {
  readonly nowMillis: () => number
  /** Takes room for some more bytes of an answer, which then has `answerBytes`; the refusal if there is none. */
  readonly reserve: (bytes: number, answerBytes: number) => AnswerTooLarge | NoRoomForAnswer | undefined
  readonly reserveMemory: (bytes: number) => boolean
  readonly release: (spool: AnswerSpool, bytes: number, inMemory: number) => void
  readonly completed: (spool: AnswerSpool) => void
  readonly openFile: () => Promise<SpoolFile>
}

/** One answer: written once from its beginning to its end, then read, by one reader. */
export class AnswerSpool {
  byteLength = 0
  completedMillis = Infinity
  private readonly room: Room
  private readonly inMemory: Array<Buffer> = []
  private memoryBytes = 0
  private reservedBytes = 0
  private file: SpoolFile | undefined
  private isReleased = false
  private isGivenUp = false

  constructor(room: Room) {
    this.room = room
  }

  /** `bytes` can be used for something else once this has completed. */
  write(bytes: Buffer): Effect.Effect<void, AnswerTooLarge | NoRoomForAnswer> {
    return Effect.suspend(() => {
      const refusal = this.room.reserve(bytes.length, this.byteLength + bytes.length)
      if (refusal !== undefined) return Effect.fail(refusal)
      this.reservedBytes += bytes.length
      this.byteLength += bytes.length
      if (
        this.file === undefined &&
        this.memoryBytes + bytes.length <= memoryPerAnswerBytes &&
        this.room.reserveMemory(bytes.length)
      ) {
        this.memoryBytes += bytes.length
        this.inMemory.push(Buffer.from(bytes))
        return Effect.void
      }
      return Effect.uninterruptible(
        Effect.tryPromise({ try: () => this.writeToFile(bytes), catch: diskRefuses })
      )
    })
  }

  private async writeToFile(bytes: Buffer): Promise<void> {
    this.file ??= await this.room.openFile()
    await this.file.append(bytes)
  }

  /** Nothing more is written. */
  end(): void {
    this.completedMillis = this.room.nowMillis()
    this.room.completed(this)
  }

  /** The answer from its beginning, as `PieceSource` says. */
  async *pieces(buffer?: Buffer): AsyncGenerator<Uint8Array> {
    this.check()
    for (const piece of this.inMemory) {
      yield piece
      this.check()
    }
    if (this.file === undefined) return
    for (let at = 0, end = this.file.byteLength; at < end;) {
      const into = buffer ?? Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at))
      const length = await this.file.read(into, at)
      this.check()
      yield into.subarray(0, length)
      this.check()
      at += length
    }
  }

  private check(): void {
    if (this.isGivenUp) throw new Error(givenUp)
  }

  /** Its reader fails with the next piece. */
  giveUp(): void {
    this.isGivenUp = true
    this.release()
    void this.file?.close()
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.release()
    const { file } = this
    // It never rejects, see `SpoolFile`.
    return file === undefined ? Effect.void : Effect.promise(() => file.close())
  })

  private release(): void {
    if (this.isReleased) return
    this.isReleased = true
    this.room.release(this, this.reservedBytes, this.memoryBytes)
    this.inMemory.length = 0
  }
}

const diskRefuses = (error: unknown): NoRoomForAnswer => {
  const reason = error instanceof Error ? error.message : String(error)
  return new NoRoomForAnswer({
    message: "There is no room for the answer of a subset's query",
    report:
      `The answer to a subset query cannot be kept in a temporary file: ${reason}. Its client gets a 503 and tries again; ` +
      "smaller answers are given all the same. It heals when there is room: set TMPDIR to a directory on a disk that " +
      "has some."
  })
}
