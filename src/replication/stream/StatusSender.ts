import { type Lsn, lsnNumber, serverLsn } from "../../shared/Lsn.ts"
import { statusGapMillis } from "../ReplicationTimings.ts"
import { encodeStatusUpdate } from "../wire/StatusUpdate.ts"
import { type Timers } from "../../shared/Timers.ts"

/**
 * Tells Postgres what it may forget: whenever something has become durable, and by timer so that it does not take us for
 * dead. Works while the stream is paused, because writing does not depend on reading.
 *
 * Never reports a position that `durable` has not returned, and never goes back.
 */
export class StatusSender {
  private readonly timers: Timers
  private readonly write: (frame: Buffer) => void
  private readonly durable: () => Lsn
  /** Between positions of the server and those that it is told of here; see `Lsn`. */
  private readonly shift: bigint
  private readonly onFailure: (error: unknown) => void
  private received: Lsn = 0n
  private sent: Lsn = 0n
  private sentAtMillis = -Infinity
  private stopCoalesced: (() => void) | undefined
  private stopPeriodic: (() => void) | undefined

  constructor(
    timers: Timers,
    write: (frame: Buffer) => void,
    durable: () => Lsn,
    onFailure: (error: unknown) => void,
    shift = 0n
  ) {
    this.timers = timers
    this.write = write
    this.durable = durable
    this.shift = shift
    this.onFailure = onFailure
  }

  /** Begins to send by timer. Each of these asks for an answer, so that a server that is gone is noticed. */
  start(intervalMillis: number): void {
    this.stopPeriodic = this.timers.every(intervalMillis, () => this.guarded(() => this.send(true)))
  }

  stop(): void {
    this.stopPeriodic?.()
    this.stopCoalesced?.()
    this.stopPeriodic = undefined
    this.stopCoalesced = undefined
  }

  /** The server has sent everything up to here. Only for monitoring. */
  noteReceived(lsn: Lsn): void {
    if (lsn > this.received) this.received = lsn
  }

  /** Something may have become durable. Cheap: call it after every batch and every sync of the journal. */
  notify(): void {
    if (this.stopCoalesced !== undefined || this.stopPeriodic === undefined) return
    const waitMillis = this.sentAtMillis + statusGapMillis - this.timers.nowMillis()
    if (waitMillis <= 0) this.guarded(() => this.sendNews())
    else {
      this.stopCoalesced = this.timers.after(waitMillis, () => {
        this.stopCoalesced = undefined
        this.guarded(() => this.sendNews())
      })
    }
  }

  /** Asks for an answer, which says how far the server has sent everything. Nothing while it does not send by timer. */
  ask(): void {
    if (this.stopPeriodic !== undefined) this.guarded(() => this.send(true))
  }

  /** Sends at once, news or not. */
  send(replyRequested: boolean): void {
    this.write(this.encode(replyRequested))
  }

  /** The frame that `send` would write. */
  encode(replyRequested: boolean): Buffer {
    const durable = this.durable()
    if (durable > this.sent) this.sent = durable
    this.sentAtMillis = this.timers.nowMillis()
    const { received, sent, shift, timers } = this
    return encodeStatusUpdate(
      lsnNumber(serverLsn(received, shift)),
      lsnNumber(serverLsn(sent, shift)),
      timers.epochMillis(),
      replyRequested
    )
  }

  private sendNews(): void {
    if (this.durable() > this.sent) this.send(false)
  }

  /** Timers must not throw: that would end the process. */
  private guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.onFailure(error)
    }
  }
}
