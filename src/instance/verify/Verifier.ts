import { Context, Deferred, Effect, Exit, Layer, MutableRef, Schema } from "effect"
import { type NotActive, notActive } from "../../registry/ShapeRegistry.ts"
import { shapesAsked, VerifyRun } from "../../registry/verify/VerifyRun.ts"
import { totalFound, type VerifyReport, type VerifyRequest } from "../../registry/verify/VerifyReport.ts"
import type { VerifyFailure, VerifyServices } from "../../registry/verify/VerifyTable.ts"
import { Metrics, type MetricsRecord } from "../../telemetry/Metrics.ts"
import { Storage } from "../../storage/Storage.ts"
import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { isUnfinished } from "../Takeover.ts"

/** A comparison cannot be begun. */
class VerifyRefused extends Schema.TaggedError<VerifyRefused>()("VerifyRefused", {
  /** `running`: one is under way, and there is one at a time. `unknown`: there is no such shape, or none on such a table. */
  why: Schema.Literals(["running", "unknown"]),
  message: Schema.String
}) {}

/** What the turn of the active instance has for it. */
interface VerifyTurn extends Omit<VerifyServices, "shift"> {
  /** The shapes cannot be continued: all are compared with the database, and get what they lack. The turn is over then. */
  readonly losePosition: (reason: string) => void
}

/** One that was asked for. */
interface Asked {
  readonly run: VerifyRun
  readonly stopped: Deferred.Deferred<void>
  repairs: boolean
}

/**
 * Compares shapes with the database while the service runs, when an operator asks for it: one comparison at a time, by the active
 * instance. It ends with the turn.
 */
export class Verifier extends Context.Service<
  Verifier,
  {
    readonly start: (request: VerifyRequest) => Effect.Effect<VerifyReport, NotActive | VerifyRefused>
    /** False where none is under way. */
    readonly stop: Effect.Effect<boolean>
    /** Of the comparison that was begun last by this process. */
    readonly report: Effect.Effect<VerifyReport | undefined>
    /** Carries out what is asked for, as long as the turn lasts. */
    readonly whileActive: (turn: VerifyTurn) => Effect.Effect<never>
  }
>()("baton/instance/Verifier") {
  static readonly layer = Layer.effect(
    Verifier,
    Effect.gen(function* () {
      const { engine } = yield* Storage
      const { comparisons } = yield* Metrics
      const latest = MutableRef.make<Asked | undefined>(undefined)
      /** Where the active instance waits for the next one; `busy` with one before, and what is to be tidied up after it. */
      const inbox = MutableRef.make<Deferred.Deferred<Asked> | "busy" | undefined>(undefined)

      const reportOf = ({ repairs, run }: Asked): VerifyReport => {
        const { store } = engine
        const isUnderWay = store.slotIsLost || (store.source !== undefined && isUnfinished(store.source))
        return run.report(repairs ? (isUnderWay ? "underWay" : "done") : "none")
      }

      const start = (request: VerifyRequest) =>
        Effect.suspend((): Effect.Effect<VerifyReport, NotActive | VerifyRefused> => {
          const waits = MutableRef.get(inbox)
          if (waits === undefined) return Effect.fail(notActive("waiting"))
          if (waits === "busy") return Effect.fail(oneAtATime)
          const tables = shapesAsked(engine.store.all(), request)
          if (tables.size === 0 && (request.handle ?? request.table) !== undefined)
            return Effect.fail(noneOf(request))
          const run = new VerifyRun(request, tables, engine.timers)
          const asked = { run, stopped: Deferred.makeUnsafe<void>(), repairs: false }
          MutableRef.set(latest, asked)
          MutableRef.set(inbox, "busy")
          Deferred.doneUnsafe(waits, Effect.succeed(asked))
          return Effect.succeed(reportOf(asked))
        })

      const stop = Effect.sync(() => {
        const asked = MutableRef.get(latest)
        if (asked?.run.isRunning !== true) return false
        Deferred.doneUnsafe(asked.stopped, Effect.void)
        return true
      })

      const shift = () => engine.store.shift
      const whileActive = (turn: VerifyTurn) =>
        Effect.suspend(() => {
          const waits = Deferred.makeUnsafe<Asked>()
          MutableRef.set(inbox, waits)
          return Effect.flatMap(Deferred.await(waits), (asked) =>
            carryOut(asked, turn, { services: { ...turn, shift }, counts: comparisons })
          )
        }).pipe(Effect.forever, Effect.ensuring(Effect.sync(() => MutableRef.set(inbox, undefined))))

      return Verifier.of({
        start,
        stop,
        report: Effect.sync(() => {
          const asked = MutableRef.get(latest)
          return asked === undefined ? undefined : reportOf(asked)
        }),
        whileActive
      })
    })
  )
}

const carryOut = (
  asked: Asked,
  turn: VerifyTurn,
  { counts, services }: { readonly services: VerifyServices; readonly counts: MetricsRecord["comparisons"] }
): Effect.Effect<void> => {
  const { run, stopped } = asked
  const compare = Effect.matchEffect(run.carryOut(services), {
    onFailure: (failure) => Effect.sync(() => run.end("failed", sayFailure(failure))),
    onSuccess: () => Effect.sync(() => run.end("done"))
  })
  return Effect.raceFirst(compare, Deferred.await(stopped)).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => (Exit.isSuccess(exit) ? run.end("stopped") : run.end("failed", cutOff)))
    ),
    Effect.ensuring(Effect.sync(() => count(run, counts))),
    Effect.andThen(Effect.suspend(() => afterwards(asked, turn)))
  )
}

const count = (run: VerifyRun, counts: MetricsRecord["comparisons"]): void => {
  const { found, rowsRead, state } = run.report("none")
  if (state !== "running") counts.verifications[state]++
  counts.verifySeconds.observe(run.seconds)
  counts.verifiedRows += rowsRead
  for (const kind of ["missing", "surplus", "differs"] as const) counts.verifyDifferences[kind] += found[kind]
}

/** What was found counts, also where the comparison was stopped, or failed, later. */
const afterwards = (asked: Asked, turn: VerifyTurn): Effect.Effect<void> => {
  const { found, request, shapes } = asked.run.report("none")
  const rows = totalFound(found)
  if (rows === 0) return Effect.void
  const told = `${rows} rows of ${shapes.differing} shapes are not what Postgres has: ${found.missing} are missing, ${found.differs} differ, ${found.surplus} are not there any more`
  return reportFault(
    "BATON-SHAPE-DIFFERS",
    `${told}. ${request.repair ? "All shapes are compared with the database now, and get what they lack." : 'Bring them to what Postgres has with "baton verify --repair".'}`
  ).pipe(
    Effect.andThen(
      Effect.sync(() => {
        if (!request.repair) return
        asked.repairs = true
        turn.losePosition(`an operator has found ${rows} rows that differ from what Postgres has`)
      })
    )
  )
}

const sayFailure = (failure: VerifyFailure): string => failure.message

const cutOff = "This instance gave up the lock meanwhile. Ask the one that is active."

const oneAtATime = new VerifyRefused({
  why: "running",
  message: "A comparison is under way, and there is one at a time. Wait for it, or stop it."
})

const noneOf = ({ handle, table }: VerifyRequest): VerifyRefused =>
  new VerifyRefused({
    why: "unknown",
    message:
      handle === undefined
        ? `There is no shape on a table ${table ?? ""}.`
        : `There is no shape ${handle}${table === undefined ? "" : ` on a table ${table}`}.`
  })
