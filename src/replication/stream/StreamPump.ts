import { Effect } from "effect"
import { ownPgError, PgError } from "../../postgres/errors/PgError.ts"
import type { ChangeSink } from "../ChangeSink.ts"
import { malformedCopyData, MalformedMessage, TransactionTooLarge } from "../wire/MalformedMessage.ts"
import { copyData, type FrameHandler, headerBytes, MessageFramer } from "../../postgres/wire/MessageFramer.ts"
import { PgoutputDecoder } from "../wire/PgoutputDecoder.ts"
import type { ReplicationSession } from "../connection/ReplicationSession.ts"
import { burstMillis, turnMillis } from "../ReplicationTimings.ts"
import { StatusSender } from "./StatusSender.ts"
import { type Timers } from "../../shared/Timers.ts"

interface PumpOptions {
  readonly sink: ChangeSink
  /** Runs once, as soon as Postgres has accepted START_REPLICATION and before the first change is handed over. */
  readonly onStarted: Effect.Effect<void>
  readonly maxTransactionBytes: number
  /** Added to every position that comes, and taken from every one that is sent. */
  readonly shift: bigint
  readonly statusIntervalMillis: number
  readonly timers: Timers
}

const xlogData = 0x77 // w
const keepalive = 0x6b // k
const xlogDataHeaderBytes = 25
const keepaliveBytes = 18
const copyBothResponse = 0x57 // W
/**
 * Postgres flushes its socket after every message, and a read per message costs several times what decoding it does, on
 * both sides: each read wakes the process up. When this many chunks come within a millisecond, the socket is left alone
 * for the next one and then read in large pieces, and so on after each piece for as long as the pieces are worth it.
 * Transactions of a few rows never wait.
 */
const burstChunks = 16
/** A piece below this, after a rest: the burst is over. */
const burstBytes = 4096
/** The most that Node reads at once from TLS: such a piece has left something behind, which comes first. */
const fullTlsChunkBytes = 16 * 1024
/**
 * Changes that many conditions have to be evaluated for can take milliseconds each. After so long everything else gets its
 * turn: requests, timers, the journal. The clock is looked at every few messages only.
 */
const messagesPerLook = 8
/** What a message may have beside the change in it: headers. */
const envelopeBytes = 64

/**
 * Moves changes from the socket to the sink: synchronously, chunk by chunk, as long as the sink keeps up. When the sink
 * answers with an Effect, the pump stops at that message, pauses the socket and gives the Effect to the fiber that runs
 * the stream (`next`), which calls `proceed` when it is done. Nothing here throws; failures come out of `next`.
 */
export class StreamPump {
  readonly status: StatusSender
  private readonly timers: Timers
  private readonly session: ReplicationSession
  private readonly options: PumpOptions
  private readonly decoder: PgoutputDecoder
  private readonly framer: MessageFramer
  private failure: PgError | undefined
  private pending: Effect.Effect<void> | undefined
  private waiter: ((next: Effect.Effect<Effect.Effect<void>, PgError>) => void) | undefined
  private replyRequested = false
  private stopped = false
  /** When the server was last heard of, or could not be heard because we did not listen. */
  private heardAtMillis: number
  private burstBeganMillis = 0
  private chunksInBurst = 0
  private turnBeganMillis = 0
  private untilLook = messagesPerLook
  /** When what is pending began to wait. */
  private pendingSinceMillis = 0
  private changesBytes = 0
  /** The last thing done was to rest. */
  private rested = false

  constructor(session: ReplicationSession, options: PumpOptions) {
    this.session = session
    this.options = options
    const { sink, maxTransactionBytes, shift, timers } = options
    this.timers = timers
    this.heardAtMillis = timers.nowMillis()
    this.decoder = new PgoutputDecoder(sink, { maxTransactionBytes, shift })
    const handler: FrameHandler = {
      message: (buffer, start, end) =>
        buffer[start] === copyData
          ? this.copyData(buffer, start + headerBytes, end)
          : this.other(buffer.subarray(start, end)),
      chunkEnd: () => this.stopFor(sink.batchEnd()),
      oversized: () => {
        throw this.decoder.tooLarge()
      },
      malformed: malformedCopyData
    }
    this.framer = new MessageFramer(handler, maxTransactionBytes + envelopeBytes)
    this.status = new StatusSender(
      timers,
      (frame) => {
        if (session.stream.writable) session.stream.write(frame)
      },
      () => sink.durableLsn(),
      (error) => this.fail(error),
      shift
    )
  }

  start(sql: string): void {
    this.session.onFailure((failure) => this.fail(failure))
    this.session.tap.attach((chunk) => this.receive(chunk))
    this.session.startReplication(sql)
  }

  /** No more changes reach the sink. The connection stays as it is, for `close` to say the last word on it. */
  stop(): void {
    this.stopped = true
    this.status.stop()
    this.session.stream.pause()
  }

  /** The Effect that the stream waits for next. Fails when the stream is over. */
  readonly next: Effect.Effect<Effect.Effect<void>, PgError> = Effect.callback((resume) => {
    if (this.failure !== undefined) return resume(Effect.fail(this.failure))
    if (this.pending !== undefined) return resume(Effect.succeed(this.pending))
    this.waiter = resume
    return Effect.sync(() => (this.waiter = undefined))
  })

  /** The Effect given by `next` has completed. */
  proceed(): void {
    this.pending = undefined
    this.turnBeganMillis = this.timers.nowMillis()
    this.guarded(() => {
      if (!this.framer.proceed()) return
      this.heardAtMillis = this.timers.nowMillis()
      this.session.stream.resume()
    })
    this.afterBatch()
  }

  /** For how long the server has not been heard of; 0 while we do not listen. */
  silentMillis(): number {
    return this.pending === undefined ? this.timers.nowMillis() - this.heardAtMillis : 0
  }

  /** For how long what was received has been waiting for us; 0 when nothing is. */
  heldMillis(): number {
    return this.pending === undefined ? 0 : this.timers.nowMillis() - this.pendingSinceMillis
  }

  /** Bytes of changes that were received. */
  get dataBytes(): number {
    return this.changesBytes
  }

  fail(error: unknown): void {
    if (this.failure !== undefined) return
    this.failure = streamFailure(error)
    this.status.stop()
    const { waiter } = this
    this.waiter = undefined
    waiter?.(Effect.fail(this.failure))
  }

  private receive(chunk: Buffer): void {
    if (this.stopped || this.failure !== undefined) return
    this.heardAtMillis = this.timers.nowMillis()
    this.turnBeganMillis = this.heardAtMillis
    this.guarded(() => this.framer.push(chunk))
    this.afterBatch()
    this.restInBurst(chunk.length)
  }

  private restInBurst(chunkBytes: number): void {
    if (chunkBytes >= this.session.tap.fullPieceBytes || chunkBytes === fullTlsChunkBytes) return
    const goesOn = this.rested && chunkBytes >= burstBytes
    this.rested = false
    if (this.heardAtMillis - this.burstBeganMillis > burstMillis) {
      this.burstBeganMillis = this.heardAtMillis
      this.chunksInBurst = 0
    }
    if ((++this.chunksInBurst < burstChunks && !goesOn) || this.pending !== undefined) return
    this.chunksInBurst = 0
    this.rested = true
    this.session.stream.pause()
    this.timers.after(burstMillis, () => {
      if (this.pending === undefined && !this.stopped) this.session.stream.resume()
    })
  }

  private copyData(buffer: Buffer, start: number, end: number): boolean {
    const kind = buffer[start]
    if (kind === xlogData && end - start > xlogDataHeaderBytes) {
      this.changesBytes += end - start
      const waitFor = this.decoder.decode(buffer, start + xlogDataHeaderBytes, end)
      return this.stopFor(waitFor ?? (--this.untilLook === 0 ? this.endOfTurn() : undefined))
    }
    if (kind === keepalive && end - start === keepaliveBytes) {
      const isAsked = buffer[end - 1] === 1
      if (!this.decoder.inTransaction) {
        const walEnd = buffer.readBigUInt64BE(start + 1) + this.options.shift
        this.options.sink.keepalive(walEnd, isAsked)
        this.status.noteReceived(walEnd)
      }
      if (isAsked) this.replyRequested = true
      return true
    }
    return malformedCopyData("it is neither WAL data nor a keepalive")
  }

  private endOfTurn(): Effect.Effect<void> | undefined {
    this.untilLook = messagesPerLook
    return this.timers.nowMillis() - this.turnBeganMillis < turnMillis ? undefined : othersTurn
  }

  private other(message: Buffer): boolean {
    this.session.tap.toOriginal(message)
    if (message[0] !== copyBothResponse) return true
    this.status.start(this.options.statusIntervalMillis)
    return this.stopFor(this.options.onStarted)
  }

  /** False when there is something to wait for. */
  private stopFor(effect: Effect.Effect<void> | undefined): boolean {
    if (effect === undefined) return true
    this.session.stream.pause()
    this.pending = effect
    this.pendingSinceMillis = this.timers.nowMillis()
    return false
  }

  /** Acknowledges what the batch has made durable, answers the server, and wakes the fiber if there is work for it. */
  private afterBatch(): void {
    if (this.failure !== undefined) return
    this.acknowledge()
    // Last, because resuming may run the fiber right here, and it calls `proceed`.
    const { waiter, pending } = this
    if (waiter === undefined || pending === undefined) return
    this.waiter = undefined
    waiter(Effect.succeed(pending))
  }

  private acknowledge(): void {
    if (this.replyRequested) {
      this.replyRequested = false
      this.guarded(() => this.status.send(false))
    } else this.status.notify()
  }

  private guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.fail(error)
    }
  }
}

const othersTurn: Effect.Effect<void> = Effect.callback((resume) => {
  const soon = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(soon))
})

/** Whatever ends the stream, as an error with a kind. */
export const streamFailure = (error: unknown): PgError => {
  if (error instanceof PgError) return error
  if (error instanceof TransactionTooLarge) {
    return ownPgError(
      "exceeded_max_tx_size",
      `Collected transaction exceeds limit of ${error.limitBytes} bytes (xid ${error.xid}). The replication slot is ` +
        "created anew and all shapes are compared with the database. Split such transactions, or raise " +
        "ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE."
    )
  }
  if (error instanceof MalformedMessage) {
    return ownPgError(
      "unknown",
      `${error.message} It is tried again; if it keeps happening, look for a proxy between this service and Postgres, ` +
        "and report it."
    )
  }
  return ownPgError(
    "unknown",
    `A change could not be processed: ${error instanceof Error ? error.message : String(error)}. It is tried again; if ` +
      "it keeps happening, please report it."
  )
}
