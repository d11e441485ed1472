import { type Context, Effect, type Fiber, Metric } from "effect"
import { duty } from "../shared/Duty.ts"
import { currentTimers, type Timers } from "../shared/Timers.ts"

/** How often long work says in the log how far it is. */
const sayMillis = 5000

/** What long work there may be: a label of metrics, so there are few. */
export type ProgressKind = "firstRows" | "recovery" | "takeover" | "repair" | "verify"

/** Long work under way, as plain data. */
export interface ProgressReport {
  readonly kind: ProgressKind
  /** What it is, as the subject of a line: `Reading the first rows of public.items`. */
  readonly name: string
  readonly done: number
  /** Undefined where nobody knows; an estimate may be below `done`. */
  readonly total: number | undefined
  /** What is counted: rows, bytes. */
  readonly unit: "rows" | "bytes" | "shapes"
  /** Milliseconds since 1970. */
  readonly startedAtMillis: number
}

/** Long work under way. It is told by setting `done`, which costs nothing. */
export class ProgressTask {
  readonly kind: ProgressKind
  readonly name: string
  readonly unit: ProgressReport["unit"]
  readonly startedAtMillis: number
  done = 0
  total: number | undefined

  constructor(about: Omit<ProgressReport, "done">) {
    this.kind = about.kind
    this.name = about.name
    this.unit = about.unit
    this.total = about.total
    this.startedAtMillis = about.startedAtMillis
  }

  report(): ProgressReport {
    const { done, kind, name, startedAtMillis, total, unit } = this
    return { kind, name, done, total, unit, startedAtMillis }
  }
}

const amount = (value: number, unit: ProgressReport["unit"]): string =>
  unit === "bytes" ? `${(value / 1e6).toFixed(1)} MB` : `${value.toLocaleString("en-US")} ${unit}`

/** How far it is, as a line of the log: `Reading …: 1,200 of 4,000 rows (30 %), 12 s`. */
export const progressLine = (report: ProgressReport, nowMillis: number): string => {
  const { done, name, startedAtMillis, total, unit } = report
  const seconds = `${Math.max(0, Math.round((nowMillis - startedAtMillis) / 1000))} s`
  if (total === undefined || total <= 0) return `${name}: ${amount(done, unit)}, ${seconds}`
  const of =
    unit === "bytes"
      ? `${(done / 1e6).toFixed(1)} of ${amount(total, unit)}`
      : `${done.toLocaleString("en-US")} of ${amount(total, unit)}`
  return `${name}: ${of} (${Math.min(99, Math.floor((100 * done) / total))} %), ${seconds}`
}

/** The long work that is under way in one program, oldest first. */
class ProgressList {
  private readonly tasks = new Set<ProgressTask>()

  begin(about: Omit<ProgressReport, "done">): ProgressTask {
    const task = new ProgressTask(about)
    this.tasks.add(task)
    return task
  }

  end(task: ProgressTask): void {
    this.tasks.delete(task)
  }

  reports(): ReadonlyArray<ProgressReport> {
    return Array.from(this.tasks, (task) => task.report())
  }
}

const lists = new WeakMap<Metric.MetricRegistry, ProgressList>()

/** The list of the registry of metrics that the Effect has which asks, as of all that is counted. */
export const Progress: Effect.Effect<ProgressList> = Effect.map(Metric.MetricRegistry, (registry) => {
  const known = lists.get(registry)
  if (known !== undefined) return known
  const made = new ProgressList()
  lists.set(registry, made)
  return made
})

/** It ends with the work. */
const progressLines = {
  what: "Saying how far long work has got",
  ends: "byItself",
  after: "letGo",
  meanwhile: "the work itself goes on"
} as const

/** Says every few seconds how far `task` is, after a look, and now for the first time. Never succeeds. */
const sayHowFar = (task: ProgressTask, timers: Timers, look: Effect.Effect<void>): Effect.Effect<never> =>
  Effect.andThen(
    look,
    Effect.suspend(() => Effect.logInfo(progressLine(task.report(), timers.epochMillis())))
  ).pipe(Effect.andThen(Effect.sleep(sayMillis)), Effect.forever)

/**
 * Says so from a few seconds on, until what it gives is called. Most work has ended by then, and thousands of times a second: there is a fiber
 * for that only once there is something to say.
 */
const sayLater = (
  task: ProgressTask,
  timers: Timers,
  look: Effect.Effect<void>,
  context: Context.Context<never>
): (() => void) => {
  let saying: Fiber.Fiber<unknown, unknown> | undefined
  const stopTimer = timers.after(
    sayMillis,
    () => (saying = Effect.runForkWith(context)(duty(progressLines, sayHowFar(task, timers, look)))),
    "aside"
  )
  return () => {
    stopTimer()
    saying?.interruptUnsafe()
  }
}

/**
 * Runs `work`, which says how far it is by `done` of the task; or `look` finds it out, whenever it is to be said. As long as it goes on, it is in the list, and in the log every five seconds:
 * what takes less is never heard of.
 */
export const withProgress = <A, E, R>(
  about: Omit<ProgressReport, "done" | "startedAtMillis">,
  work: (task: ProgressTask) => Effect.Effect<A, E, R>,
  look: (task: ProgressTask) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const list = yield* Progress
    const timers = yield* currentTimers
    const context = yield* Effect.context<never>()
    return yield* Effect.acquireUseRelease(
      Effect.sync(() => {
        const task = list.begin({ ...about, startedAtMillis: timers.epochMillis() })
        return { task, stop: sayLater(task, timers, look(task), context) }
      }),
      ({ task }) => work(task),
      ({ stop, task }) =>
        Effect.sync(() => {
          stop()
          list.end(task)
        })
    )
  })
