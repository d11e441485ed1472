import { extname, join } from "node:path"
import { Worker } from "node:worker_threads"
import { Effect, Result, type Scope } from "effect"
import { aboveLimit, type Limits, standardLimits } from "../../config/Limits.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { CatalogueData } from "../catalogue/TypeCatalogue.ts"
import { compileQuickly, compileWhere, type CompiledWhere, type WhereRequest } from "../CompileWhere.ts"
import { loadParser } from "../parse/Parser.ts"
import { mayHaveTables, type NamedTable, subselectTables } from "../SubselectTables.ts"
import type { WhereError } from "../WhereError.ts"
import { isSmall } from "./IsSmall.ts"
import type { Found, FromThread, TablesRequest, ToThread } from "./AsideProtocol.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"

/** A thread that nobody needs takes memory. */
const idleMillis = 30_000
const heapMegabytes = 256

type Outcome<A> = Result.Result<A, WhereError>

interface Task {
  readonly work: WhereRequest | { readonly tablesOf: TablesRequest }
  readonly done: (outcome: Outcome<Found>) => void
  given: boolean
}

const refused = (message: string): Outcome<never> =>
  Result.fail({ message, position: undefined, parameter: "where", final: true })

const noTables: Outcome<ReadonlyArray<NamedTable>> = Result.succeed([])

/**
 * Checks clauses: small ones at once, large and costly ones in a thread of their own, one after the other, because tens of
 * thousands of literals or a megabyte of parameters take the processor for longer than the event loop may be held, and so
 * do some constants: a long text that is searched for something many times.
 *
 * A clause that takes longer than `compileMillis`, or more memory than a thread has, is refused; the thread ends with it,
 * and with it whatever state the parser was in. Where no thread can be had (the program has been put into one file, for
 * example) large clauses are checked at once as well.
 */
export class CompileAside {
  private worker: Worker | undefined
  private ready = false
  private unavailable = false
  private told: CatalogueData | undefined
  private readonly tasks: Array<Task> = []
  private running: Task | undefined
  private stopTimer = () => {}
  private readonly timers: Timers
  private nextId = 0

  static readonly make: Effect.Effect<CompileAside, never, Scope.Scope> = Effect.acquireRelease(
    Effect.map(currentTimers, (timers) => new CompileAside(timers)),
    (aside) => Effect.sync(() => aside.end())
  )

  private constructor(timers: Timers) {
    this.timers = timers
  }

  /** What `compileWhere` gives. Loads the parser when it is needed here. */
  compile(request: WhereRequest): Effect.Effect<Outcome<CompiledWhere>> {
    const here = Effect.map(loadParser, () => compileWhere(request))
    if (this.unavailable) return here
    const there = this.inThread<CompiledWhere>(request, here)
    if (!isSmall(request)) return there
    return Effect.flatMap(loadParser, () => {
      const outcome = compileQuickly(request)
      return outcome === undefined ? there : Effect.succeed(outcome)
    })
  }

  /** What `subselectTables` gives. */
  tables(sql: string, limits: Limits): Effect.Effect<Outcome<ReadonlyArray<NamedTable>>> {
    if (!mayHaveTables(sql)) return Effect.succeed(noTables)
    const here = Effect.map(loadParser, () => subselectTables(sql, limits))
    return this.unavailable || isSmall({ sql, params: {} })
      ? here
      : this.inThread<ReadonlyArray<NamedTable>>({ tablesOf: { sql, limits } }, here)
  }

  /** `here`: the same where no thread can be had. */
  private inThread<A extends Found>(
    work: Task["work"],
    here: Effect.Effect<Outcome<A>>
  ): Effect.Effect<Outcome<A>> {
    return Effect.flatMap(
      Effect.callback<Outcome<A> | "here">((resume) => {
        const task: Task = {
          work,
          given: false,
          // The thread answers what it is asked.
          done: (outcome) => resume(Effect.succeed(this.unavailable ? "here" : (outcome as Outcome<A>)))
        }
        this.tasks.push(task)
        this.next()
        return Effect.sync(() => {
          const at = this.tasks.indexOf(task)
          if (at >= 0) this.tasks.splice(at, 1)
        })
      }),
      (outcome) => (outcome === "here" ? here : Effect.succeed(outcome))
    )
  }

  private next(): void {
    if (this.running !== undefined) return
    this.stopTimer()
    const task = this.tasks.shift()
    if (task === undefined) {
      this.stopTimer = this.timers.after(idleMillis, () => this.stop(), "aside")
      return
    }
    this.running = task
    this.start()
    this.give()
  }

  /** Gives the thread its task, once it has begun. */
  private give(): void {
    const { running, worker } = this
    if (!this.ready || running === undefined || worker === undefined || running.given) return
    running.given = true
    const { limits, message } = this.asMessage(running.work)
    this.stopTimer = this.timers.after(limits.compileMillis, () => {
      this.stop()
      this.finish(refused(aboveLimit("compileMillis", limits)))
    })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(message)
  }

  private asMessage(work: Task["work"]): { readonly message: ToThread; readonly limits: Limits } {
    const id = ++this.nextId
    if ("tablesOf" in work) return { message: { id, tablesOf: work.tablesOf }, limits: work.tablesOf.limits }
    const { catalogue, ...request } = work
    const data = this.told === catalogue.data ? undefined : catalogue.data
    this.told = catalogue.data
    return { message: { id, data, request }, limits: request.limits ?? standardLimits }
  }

  private finish(outcome: Outcome<Found>): void {
    const { running } = this
    this.running = undefined
    this.stopTimer()
    running?.done(outcome)
    this.next()
  }

  private start(): void {
    if (this.worker !== undefined) return
    // The same kind of file as this one: TypeScript in the sources, JavaScript in what was built from them.
    const file = join(import.meta.dirname, `compileThread${extname(import.meta.filename)}`)
    const worker = new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } })
    worker.unref()
    this.worker = worker
    worker.on("message", (message: FromThread) => {
      if (worker !== this.worker) return
      if ("release" in message) {
        // Another release may write the same clause in another way, and that is the identity of a shape.
        if (message.release !== batonVersion) return this.lost(worker)
        this.ready = true
        this.give()
      } else if (message.id === this.nextId) {
        this.finish(
          message.found === undefined ? Result.fail(message.refused) : Result.succeed(message.found)
        )
      }
    })
    worker.on("error", () => this.lost(worker))
    worker.on("exit", () => this.lost(worker))
  }

  /** The thread has ended by itself, or is of no use: it never began, is of another release, or its memory was not enough. */
  private lost(worker: Worker): void {
    if (worker !== this.worker) return
    if (!this.ready) this.unavailable = true
    this.stop()
    if (this.running !== undefined) this.finish(refused("the clause takes too much memory"))
  }

  private stop(): void {
    this.stopTimer()
    const { worker } = this
    this.worker = undefined
    this.ready = false
    this.told = undefined
    void worker?.terminate()
  }

  private end(): void {
    this.stop()
    this.tasks.length = 0
  }
}
