import { Deferred, Effect } from "effect"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { StreamHearing } from "../../replication/stream/ReplicationConnection.ts"
import { journalLsn, type Lsn, parseLsn, type ServerLsn } from "../../shared/Lsn.ts"
import type { Timers } from "../../shared/Timers.ts"
import { faultEnded, reportFault } from "../../telemetry/faults/ReportFault.ts"
import type { ServingLag } from "../../telemetry/ServingLag.ts"
import type { StreamStatus } from "../../telemetry/stream/StreamStatus.ts"
import { ClockDifference } from "./ClockDifference.ts"
import {
  isForbidden,
  type SilenceFacts,
  type SilenceVerdict,
  silenceVerdict,
  type StreamLook
} from "./SilenceVerdict.ts"
import * as timings from "./SilenceTimings.ts"

export interface HeartbeatOptions {
  /** Undefined: none is sent. */
  readonly everyMillis: number | undefined
  readonly slotName: string
  readonly admin: Queryable
  readonly timers: Timers
  readonly status: StreamStatus
  readonly lag: Pick<ServingLag, "clockAheadMillis">
  readonly hearing: () => StreamHearing
  /** It stands before this position of the journal: that it has come is not worth a record. */
  readonly written: (lsn: Lsn) => void
  /** Has Postgres answer on the connection that streams. */
  readonly askForPosition: () => void
  readonly isWriteFailing: () => boolean
  readonly look: Effect.Effect<StreamLook, PgError>
  /** Of the positions of the journal to those of the server. */
  readonly shift: () => bigint
}

/** It is in the WAL, at this position, or could not be written. */
interface Sent {
  readonly lsn: ServerLsn | undefined
  readonly refused: PgError | undefined
  readonly atMillis: number
  readonly atEpochMillis: number
}

interface Row {
  readonly lsn: string
  readonly now: string
}

/**
 * Not part of a transaction, so nobody waits for a disk because of it, and no transaction is given out for it. What pgoutput says of
 * its own accord once it has sent everything up to there is enough to know that it has come round: other programs' messages
 * are not asked for.
 */
const sql =
  "SELECT pg_catalog.pg_logical_emit_message(false, 'baton', '')::pg_catalog.text AS lsn, " +
  "(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.text AS now"

/**
 * The proof that changes come: a few bytes of WAL that have to come round through the slot. Where they do not, it finds out why
 * and tells, whatever the cause may be. Owned by a turn; `reached` is called from the stream.
 */
export class Heartbeat {
  private readonly options: HeartbeatOptions
  private readonly clocks = new ClockDifference()
  private awaited: { readonly lsn: Lsn; readonly came: Deferred.Deferred<void> } | undefined
  /** Everything up to here has come, and was dealt with; a position of the journal. */
  receivedLsn: Lsn = 0n
  private provenAtMillis: number
  private before: StreamLook | undefined
  private heardBytes = 0

  constructor(options: HeartbeatOptions) {
    this.options = options
    this.provenAtMillis = options.timers.nowMillis()
  }

  /** Everything up to `lsn` has come, and was dealt with. Cheap: called for each transaction. */
  reached(lsn: Lsn): void {
    if (lsn > this.receivedLsn) this.receivedLsn = lsn
    if (this.awaited !== undefined && lsn >= this.awaited.lsn)
      Deferred.doneUnsafe(this.awaited.came, Effect.void)
  }

  /** Sends them for as long as the stream runs. Never ends. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const { everyMillis, status, timers } = this.options
    this.provenAtMillis = timers.nowMillis()
    if (everyMillis === undefined) status.set("unwatched", timers.epochMillis(), off)
    else status.set("flowing", timers.epochMillis())
    return (everyMillis === undefined ? Effect.never : Effect.forever(this.beat(everyMillis))).pipe(
      Effect.ensuring(faultEnded("BATON-STREAM-SILENT", { quietly: true })),
      Effect.ensuring(Effect.sync(() => status.set("ended", timers.epochMillis())))
    )
  })

  private beat(everyMillis: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { timers } = this.options
      const beganMillis = timers.nowMillis()
      const patience = Math.max(
        this.provenAtMillis + timings.silentMillis,
        beganMillis + timings.leastPatienceMillis
      )
      const leftMillis = () => patience - timers.nowMillis()
      let sent = yield* this.send
      while (
        sent.refused !== undefined &&
        !isForbidden(sent.refused) &&
        leftMillis() > timings.sendAgainMillis
      ) {
        yield* Effect.sleep(timings.sendAgainMillis)
        sent = yield* this.send
      }
      const came = yield* Deferred.make<void>()
      if (sent.lsn !== undefined) {
        const lsn = journalLsn(sent.lsn, this.options.shift())
        this.options.written(lsn)
        this.awaited = { lsn, came }
        this.reached(this.receivedLsn)
        yield* Effect.timeoutOption(Deferred.await(came), Math.max(0, leftMillis()))
      }
      if (!Deferred.isDoneUnsafe(came)) yield* this.whileLate(sent, came)
      this.awaited = undefined
      if (Deferred.isDoneUnsafe(came)) yield* this.proven(sent)
      yield* Effect.sleep(Math.max(0, beganMillis + everyMillis - timers.nowMillis()))
    })
  }

  private get send(): Effect.Effect<Sent> {
    const { admin, lag, timers } = this.options
    return Effect.suspend(() => {
      const atMillis = timers.nowMillis()
      const atEpochMillis = timers.epochMillis()
      return admin.query<Row>(sql).pipe(
        Effect.timeoutOrElse({ duration: timings.sendMillis, orElse: () => Effect.fail(noAnswer) }),
        Effect.match({
          onFailure: (refused) => ({ lsn: undefined, refused, atMillis, atEpochMillis }),
          onSuccess: ([row]) => {
            this.clocks.answered(atEpochMillis, Number(row?.now), timers.epochMillis())
            lag.clockAheadMillis = this.clocks.aheadMillis ?? 0
            return { lsn: parseLsn(row?.lsn ?? ""), refused: undefined, atMillis, atEpochMillis }
          }
        })
      )
    })
  }

  private proven({ atEpochMillis, atMillis }: Sent): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { status, timers } = this.options
      const wasLate = status.report?.state !== "flowing"
      this.provenAtMillis = atMillis
      this.before = undefined
      status.set("flowing", timers.epochMillis())
      status.proven(atEpochMillis, timers.nowMillis() - atMillis)
      if (!wasLate) return Effect.void
      return Effect.asVoid(
        Effect.all([
          faultEnded("BATON-STREAM-SILENT", { message: "Changes come from the database again." }),
          faultEnded("BATON-STREAM-UNWATCHED", { quietly: true })
        ])
      )
    })
  }

  /** Until it has come, or could not be written and another one is to be tried. */
  private whileLate(sent: Sent, came: Deferred.Deferred<void>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      while (true) {
        const facts = yield* this.find(sent)
        // It may have come while that was found out.
        if (Deferred.isDoneUnsafe(came)) return
        yield* this.tell(silenceVerdict(facts))
        if (sent.lsn === undefined) return
        const again = Effect.timeoutOption(Deferred.await(came), timings.lookAgainMillis)
        if ((yield* again)._tag === "Some") return
      }
    })
  }

  private find(sent: Sent): Effect.Effect<SilenceFacts> {
    return Effect.gen({ self: this }, function* () {
      const { askForPosition, hearing, isWriteFailing, slotName, timers } = this.options
      askForPosition()
      const forbidden = sent.refused !== undefined && isForbidden(sent.refused) ? sent.refused : undefined
      // For so long Postgres has time to answer there.
      if (forbidden === undefined) yield* Effect.sleep(timings.hearMillis)
      const { dataBytes, heldMillis, silentMillis } = hearing()
      const look = forbidden ?? (yield* this.look)
      const { before, heardBytes } = this
      this.heardBytes = dataBytes
      if (!("kind" in look)) this.before = look
      return {
        slotName,
        unprovenMillis: timers.nowMillis() - this.provenAtMillis,
        heartbeatLsn: sent.lsn,
        refused: sent.refused,
        look,
        before,
        heldMillis,
        isWriteFailing: isWriteFailing(),
        isDeaf: silentMillis >= timings.hearMillis,
        receivedBytes: before === undefined ? 0 : dataBytes - heardBytes
      }
    })
  }

  private get look(): Effect.Effect<SilenceFacts["look"]> {
    return this.options.look.pipe(
      Effect.timeoutOrElse({ duration: timings.lookMillis, orElse: () => Effect.fail(noAnswer) }),
      Effect.catch((error) => Effect.succeed(error))
    )
  }

  private tell({ cause, message, state }: SilenceVerdict): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { status, timers } = this.options
      const known = status.report
      const isNew = known?.state !== state || known.cause !== cause
      status.set(state, timers.epochMillis(), { cause, message })
      const everyMillis = isNew ? 0 : timings.sayAgainMillis
      switch (state) {
        case "silent":
          return reportFault("BATON-STREAM-SILENT", { message, everyMillis })
        case "unwatched":
          return reportFault("BATON-STREAM-UNWATCHED", { message, everyMillis: timings.sayAgainMillis })
        case "behind": {
          const over = faultEnded("BATON-STREAM-SILENT", { message: "Postgres gets on again." })
          return isNew ? Effect.andThen(over, Effect.logInfo(message)) : Effect.asVoid(over)
        }
      }
    })
  }
}

const off = {
  cause: "off",
  message:
    "No heartbeat is sent (BATON_HEARTBEAT_INTERVAL=0): nobody tells if changes stop coming from the database."
}

const noAnswer = ownPgError(
  "connection_timeout",
  "Postgres has not answered a question beside the stream within seconds."
)
