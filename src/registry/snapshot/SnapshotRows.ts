import { Effect } from "effect"
import type { Tuple } from "../../postgres/Tuple.ts"
import { ByteWriter } from "../../shared/ByteWriter.ts"
import type { WireEncoder } from "../../shapes/WireEncoder.ts"
import type { ExpectedRows } from "./ExpectedRows.ts"
import type { RowColumn } from "./MessageFilter.ts"
import type { SnapshotSession, StatementFailure } from "./SnapshotSession.ts"
import { flushMillis } from "../RegistryTimings.ts"

/** What separates the messages of a chunk: one row per line, for people who look at responses. */
export const separator = Buffer.from(",\n")

/** Size at which a piece is handed over; rows are not split, so it may be one row larger. */
const pieceBytes = 128 * 1024
/** Pieces encoded ahead of the consumer. With the one it works on, this bounds what a query holds in memory. */
const piecesAhead = 2
/** A writer that one huge row has made larger than this is not used again. */
const keptBytes = 1024 * 1024

/** Some messages of one chunk, joined with the separator; not the first of its chunk begins with a separator. */
export interface RowPiece {
  /** Valid until the next one is asked for. */
  readonly bytes: Buffer
  /** The chunk is whole: its last row reached the size of a chunk. */
  readonly endsChunk: boolean
}

/** Small enough for most shapes, and used again by the next ones: thousands of them are made at once. */
const smallBytes = 8 * 1024
const smallWriters: Array<ByteWriter> = []
const keptSmallWriters = 32

/** The rows are not what the definition says of them: the table was altered between. */
interface RowsOutdated {
  readonly outdated: string
}

export type RowFailure = StatementFailure | RowsOutdated

/** No row has come in time, nor the end. */
export interface RowsLate {
  readonly lateMillis: number
}

interface FilledWriter {
  readonly writer: ByteWriter
  readonly endsChunk: boolean
}

/**
 * Runs a query and encodes its rows as they arrive, a little ahead of the consumer, who asks for pieces one by one.
 * When enough is ready, the socket is not read and Postgres waits. For one consumer.
 */
export class RowReader {
  /** Messages so far in the chunk that is not whole. */
  rowsInChunk = 0
  /** Messages in all chunks that are whole. */
  private rowsInChunks = 0

  private readonly session: SnapshotSession
  private readonly encoder: WireEncoder
  private readonly expected: ExpectedRows
  private readonly chunkBytesThreshold: number
  /** Where rows go; made when there is one. */
  private writer: ByteWriter | undefined
  /** Small at first: most shapes are. */
  private writerBytes = smallBytes
  private readonly ready: Array<FilledWriter> = []
  private readonly spare: Array<ByteWriter> = []
  private given: ByteWriter | undefined
  private chunkBytes = 0
  private paused = false
  private lastFlush = -Infinity
  private outcome: "running" | "succeeded" | RowFailure = "running"
  private wake: (() => void) | undefined

  /**
   * `sql` must return the columns that the encoder was made for, in that order; further statements may follow. Nothing of
   * a row that is not as `expected` is handed on.
   */
  constructor(
    session: SnapshotSession,
    sql: string,
    encoder: WireEncoder,
    expected: ExpectedRows,
    chunkBytesThreshold: number
  ) {
    this.session = session
    this.encoder = encoder
    this.expected = expected
    this.chunkBytesThreshold = chunkBytesThreshold
    session.startRows(sql, {
      onColumns: (columns, statement) => {
        if (statement === 0) this.onColumns(columns)
      },
      onRow: (row, statement) => {
        if (statement === 0 && this.outcome === "running") this.onRow(row)
      },
      onBatch: () => this.onBatch(),
      onEnd: (failure) => this.onEnd(failure)
    })
  }

  /** The next piece, `undefined` after the last one. */
  readonly next: Effect.Effect<RowPiece | undefined, RowFailure> = Effect.suspend(() => {
    this.recycle()
    return this.poll() ?? this.await
  })

  /** The same, for so long: by a timer alone, since another fiber for that costs more than most queries. */
  nextWithin(lateMillis: number): Effect.Effect<RowPiece | undefined, RowFailure | RowsLate> {
    return Effect.suspend(() => {
      this.recycle()
      return this.poll() ?? this.awaitWithin(lateMillis)
    })
  }

  private readonly await: Effect.Effect<RowPiece | undefined, RowFailure> = Effect.callback((resume) => {
    this.wake = () => {
      const found = this.poll()
      if (found === undefined) return
      this.wake = undefined
      resume(found)
    }
    return Effect.sync(() => {
      this.wake = undefined
    })
  })

  private awaitWithin(lateMillis: number): Effect.Effect<RowPiece | undefined, RowFailure | RowsLate> {
    return Effect.callback((resume) => {
      const stopTimer = this.session.timers.after(lateMillis, () => {
        this.wake = undefined
        resume(Effect.fail({ lateMillis }))
      })
      this.wake = () => {
        const found = this.poll()
        if (found === undefined) return
        stopTimer()
        this.wake = undefined
        resume(found)
      }
      return Effect.sync(() => {
        stopTimer()
        this.wake = undefined
      })
    })
  }

  /** Messages so far. */
  get rows(): number {
    return this.rowsInChunks + this.rowsInChunk
  }

  private poll(): Effect.Effect<RowPiece | undefined, RowFailure> | undefined {
    if (typeof this.outcome === "object") return Effect.fail(this.outcome)
    const filled = this.ready.shift()
    if (filled === undefined) return this.outcome === "running" ? undefined : Effect.succeed(undefined)
    if (this.paused && this.ready.length < piecesAhead) {
      this.paused = false
      this.session.resume()
    }
    this.given = filled.writer
    return Effect.succeed({ bytes: filled.writer.written(), endsChunk: filled.endsChunk })
  }

  private recycle(): void {
    const writer = this.given
    if (writer === undefined) return
    this.given = undefined
    if (writer.buffer.length > keptBytes || this.spare.length > piecesAhead) return
    writer.clear()
    if (writer.buffer.length > smallBytes) this.spare.push(writer)
    else if (smallWriters.length < keptSmallWriters) smallWriters.push(writer)
  }

  private onColumns(columns: ReadonlyArray<RowColumn>): void {
    const outdated = this.expected.misfitOf(columns)
    if (outdated !== undefined) this.outcome = { outdated }
  }

  private onRow(row: Tuple): void {
    const outdated = this.expected.forbiddenNullIn(row)
    if (outdated !== undefined) {
      this.outcome = { outdated }
      return
    }
    const w = (this.writer ??= this.spare.pop() ?? this.newWriter())
    if (this.rowsInChunk > 0) w.append(separator)
    const start = w.length
    this.encoder.row(w, row)
    this.rowsInChunk++
    // A row counts with the byte that separates it from the next one.
    this.chunkBytes += w.length - start + 1
    if (this.chunkBytes >= this.chunkBytesThreshold) {
      this.chunkBytes = 0
      this.rowsInChunks += this.rowsInChunk
      this.rowsInChunk = 0
      this.handOver(w, true)
    } else if (w.length >= pieceBytes) this.handOver(w, false)
  }

  private newWriter(): ByteWriter {
    return (
      (this.writerBytes === smallBytes ? smallWriters.pop() : undefined) ?? new ByteWriter(this.writerBytes)
    )
  }

  private handOver(writer: ByteWriter, endsChunk: boolean): void {
    this.ready.push({ writer, endsChunk })
    this.writer = undefined
    this.writerBytes = pieceBytes + 32 * 1024
    this.lastFlush = this.session.timers.nowMillis()
  }

  private onBatch(): void {
    if (this.writer !== undefined && this.session.timers.nowMillis() - this.lastFlush > flushMillis)
      this.handOver(this.writer, false)
    if (!this.paused && this.outcome === "running" && this.ready.length >= piecesAhead) {
      this.paused = true
      this.session.pause()
    }
    if (this.ready.length > 0 || typeof this.outcome === "object") this.wake?.()
  }

  private onEnd(failure: StatementFailure | undefined): void {
    if (this.writer !== undefined) this.handOver(this.writer, false)
    if (this.outcome === "running") this.outcome = failure ?? "succeeded"
    this.wake?.()
  }
}
