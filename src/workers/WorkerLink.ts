import type { ChildProcess } from "node:child_process"
import { extname, join } from "node:path"
import { Effect, Option } from "effect"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"
import { isOfOneRelease, ownSpeaker } from "./OtherRelease.ts"
import type { Speaker, ToMain, ToWorker } from "./WorkerProtocol.ts"
import { reportMillis, stopMillis } from "./WorkerTimings.ts"

/** Not imported: bundlers of programs that Baton is part of take `fork` for a module to be bundled, and fail. */
const { fork } = process.getBuiltinModule("node:child_process")

/** How a process ended. */
interface WorkerEnding {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** It is of another release than this process, and of no use: it has been told nothing. */
interface OtherRelease {
  readonly other: Speaker | undefined
}

/** One worker process as the main process sees it. */
export class WorkerLink {
  readonly number: number
  readonly pid: number | undefined
  /** Completes when the process is gone. */
  readonly ended: Promise<WorkerEnding>
  /** Completes when it turns out to be of another release. */
  readonly isOther: Promise<OtherRelease>
  isReady = false
  /** Requests in progress there, once it drains. */
  running = 0
  lastReport: ProcessReport | undefined
  private readonly child: ChildProcess
  private readonly reports = new Map<number, (report: ProcessReport) => void>()
  private readonly readers = new Map<number, (counts: Uint32Array) => void>()
  private nextReport = 0

  constructor(number: number, onMessage: (message: ToMain, link: WorkerLink) => void) {
    this.number = number
    // The same kind of file as this one: TypeScript in the sources, JavaScript in what was built from them.
    const entry = join(import.meta.dirname, `worker${extname(import.meta.filename)}`)
    this.child = fork(entry, [], {
      // Of the two usual ways the one that carries bigints and bytes.
      serialization: "advanced",
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // A debugger that waits on a port can wait there only once.
      execArgv: process.execArgv.filter((argument) => !argument.startsWith("--inspect"))
    })
    this.pid = this.child.pid
    let other: (known: OtherRelease) => void
    this.isOther = new Promise((resolve) => (other = resolve))
    this.child.on("message", (message) => {
      const known = message as ToMain
      if (known._tag === "Hello" && !isOfOneRelease(ownSpeaker, known.speaker))
        other({ other: known.speaker })
      else if (known._tag === "Report") this.reported(known.id, known.report)
      else if (known._tag === "Readers") this.readers.get(known.id)?.(known.counts)
      else onMessage(known, this)
    })
    this.ended = new Promise((resolve) => {
      this.child.once("exit", (code, signal) => resolve({ code, signal }))
      this.child.once("error", () => {
        // Could not be started: there is no exit then. A message that could not be sent is followed by one.
        if (this.child.pid === undefined) resolve({ code: null, signal: null })
      })
    })
  }

  /** Without effect when the process is gone. */
  send(message: ToWorker): void {
    if (this.child.connected) this.child.send(message, () => {})
  }

  private reported(id: number, report: ProcessReport): void {
    this.lastReport = report
    this.reports.get(id)?.(report)
  }

  /** `None` when it does not answer in time. */
  readonly report: Effect.Effect<Option.Option<ProcessReport>> = Effect.suspend(() =>
    this.asked(this.reports, (id) => this.send({ _tag: "AskReport", id }))
  )

  /** How many of its requests wait for a change of each of these shapes; `None` when it does not answer in time. */
  readersOf(shapes: Uint32Array): Effect.Effect<Option.Option<Uint32Array>> {
    return Effect.suspend(() =>
      this.asked(this.readers, (id) => this.send({ _tag: "AskReaders", id, shapes }))
    )
  }

  private asked<A>(
    waiting: Map<number, (answer: A) => void>,
    ask: (id: number) => void
  ): Effect.Effect<Option.Option<A>> {
    if (!this.isReady) return Effect.succeed(Option.none())
    const id = this.nextReport++
    return Effect.callback<A>((resume) => {
      waiting.set(id, (answer) => resume(Effect.succeed(answer)))
      ask(id)
    }).pipe(Effect.timeoutOption(reportMillis), Effect.ensuring(Effect.sync(() => waiting.delete(id))))
  }

  /** Completes when the process is gone; the promise of that never rejects. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    this.send({ _tag: "Stop" })
    return Effect.promise(() => this.ended).pipe(
      Effect.timeoutOption(stopMillis),
      Effect.flatMap((ending) => {
        if (Option.isSome(ending)) return Effect.void
        this.child.kill("SIGKILL")
        return Effect.promise(() => this.ended)
      })
    )
  }).pipe(Effect.asVoid)
}
