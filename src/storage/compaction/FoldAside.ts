import { extname, join } from "node:path"
import { Worker } from "node:worker_threads"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { FoldRequest, FromFoldThread, ToFoldThread } from "./FoldProtocol.ts"
import type { FoldJob, FoldOutput, RunningFold } from "./FoldWork.ts"
import type { Spill } from "./LogFold.ts"

/** A log that is smaller is folded sooner than another thread is told of it. */
const smallBytes = 64 * 1024
/** A thread that nobody needs takes memory. */
const idleMillis = 30_000
/** A row may be large, and there are some copies of it while it is folded. */
const heapMegabytes = 2048
/** V8 would let the garbage of short lives gather to more than small logs are. */
const youngMegabytes = 8
/** A thread that has so much after a log is ended with it: all of that is garbage, which V8 leaves where it is until it needs room. */
const mostKeptBytes = 64 * 1024 * 1024

/** In memory that the thread gets for itself: what is read stands in buffers that are used again. */
const moved = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

/** A job of the thread, which asks for what it needs of others. Whatever fails here ends it. */
class AsideFold implements RunningFold {
  private readonly send: (message: ToFoldThread, moved?: Uint8Array<ArrayBuffer>) => void
  private readonly job: number
  private readonly spill: Spill
  private readonly rest: () => Promise<void>
  private readonly reads = new Map<number, AsyncIterator<Uint8Array>>()
  private running: PromiseWithResolvers<FoldOutput | undefined> | undefined
  private failure: Error | undefined

  constructor(job: number, spill: Spill, rest: () => Promise<void>, send: AsideFold["send"]) {
    this.job = job
    this.spill = spill
    this.rest = rest
    this.send = send
  }

  private call(message: ToFoldThread, bytes?: Uint8Array<ArrayBuffer>): Promise<FoldOutput | undefined> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    this.running = Promise.withResolvers()
    this.send(message, bytes)
    return this.running.promise
  }

  async add(piece: Uint8Array): Promise<void> {
    const adds = moved(piece)
    await this.call({ job: this.job, adds }, adds)
  }

  async *outputs(): AsyncGenerator<FoldOutput> {
    for (;;) {
      const output = await this.call({ job: this.job, wants: "output" })
      if (output === undefined) return
      yield output
    }
  }

  done(output: FoldOutput | undefined): void {
    this.running?.resolve(output)
  }

  /** For whoever waits for the thread, and whoever asks it for more. */
  fail(error: Error): void {
    this.failure ??= error
    this.running?.reject(error)
  }

  /** Does what the thread asks for, and answers. What goes wrong is told to whoever waits for the thread, as it is. */
  async answer(request: FoldRequest): Promise<void> {
    try {
      const answer = await this.perform(request)
      const bytes = answer === undefined ? undefined : moved(answer)
      this.send({ job: this.job, answer: bytes }, bytes)
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  private async perform(request: FoldRequest): Promise<Uint8Array | undefined> {
    const { reads, rest, spill } = this
    if (request.does === "rest") await rest()
    else if (request.does === "append") await spill.append(request.list, request.bytes)
    else if (request.does === "remove") await spill.remove(request.list)
    else {
      const { goesOn, list, pieceBytes } = request
      if (!goesOn) reads.set(list, spill.read(list, pieceBytes)[Symbol.asyncIterator]())
      const next = await reads.get(list)?.next()
      if (next?.done === false) return next.value
      reads.delete(list)
    }
    return undefined
  }
}

/**
 * Folds logs in a thread of its own, one after the other, so that the event loop has nothing to do with it but to read and write: the
 * thread touches no file. Each step that it is told to do is small, and in between it asks whether to rest.
 *
 * Where it is not worth it, the thread has another log, or no thread can be had (the program has been put into one file, or its files were replaced by another
 * release), `begin` gives `undefined`, and the fold runs here.
 */
export class FoldAside {
  private readonly timers: Timers
  private readonly leastBytes: number
  private worker: Worker | undefined
  private begun: Promise<boolean> | undefined
  private unavailable = false
  private jobs = 0
  private current: AsideFold | undefined
  /** Somebody has it, or is about to. */
  private isTaken = false
  /** What the thread had of memory when it last gave something. */
  private heapBytes = 0
  private stopTimer = () => {}

  constructor(timers: Timers, leastBytes = smallBytes) {
    this.timers = timers
    this.leastBytes = leastBytes
  }

  /** `rest` is called again and again, and may fail: the fold does not go on then. To be ended by `finish`. */
  async begin(
    job: FoldJob,
    inputBytes: number,
    spill: Spill,
    rest: () => Promise<void>
  ): Promise<RunningFold | undefined> {
    if (this.unavailable || this.isTaken || inputBytes < this.leastBytes) return undefined
    this.isTaken = true
    this.stopTimer()
    if (!(await this.start())) {
      this.isTaken = false
      return undefined
    }
    const number = ++this.jobs
    this.current = new AsideFold(number, spill, rest, this.send)
    this.send({ job: number, begins: job })
    return this.current
  }

  /** Nothing more is wanted of this job, which was begun here. */
  finish(fold: RunningFold): void {
    if (fold !== this.current) return
    this.current = undefined
    this.isTaken = false
    if (this.worker === undefined) return
    this.send({ job: this.jobs, ends: true })
    this.stopTimer()
    if (this.heapBytes > mostKeptBytes) return this.end()
    this.stopTimer = this.timers.after(idleMillis, () => this.end(), "aside")
  }

  private readonly send = (message: ToFoldThread, bytes?: Uint8Array<ArrayBuffer>): void =>
    this.worker?.postMessage(message, bytes === undefined ? [] : [bytes.buffer])

  /** Whether there is a thread. */
  private start(): Promise<boolean> {
    if (this.worker !== undefined && this.begun !== undefined) return this.begun
    // The same kind of file as this one: TypeScript in the sources, JavaScript in what was built from them.
    const file = join(import.meta.dirname, `foldThread${extname(import.meta.filename)}`)
    const worker = new Worker(file, {
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytes, maxYoungGenerationSizeMb: youngMegabytes }
    })
    worker.unref()
    let isReady = false
    this.worker = worker
    this.heapBytes = 0
    const begun = Promise.withResolvers<boolean>()
    this.begun = begun.promise
    worker.on("message", (message: FromFoldThread) => {
      if (worker !== this.worker) return
      if (!("release" in message)) return this.take(message)
      isReady = true
      this.unavailable = message.release !== batonVersion
      begun.resolve(!this.unavailable)
    })
    const lost = (why: string) => {
      begun.resolve(false)
      if (worker !== this.worker) return
      // It never began: what it is made of is not there.
      if (!isReady) this.unavailable = true
      this.worker = undefined
      this.current?.fail(new Error(`the thread that folds it has ended: ${why}`))
    }
    worker.on("error", (error) => lost(String(error)))
    worker.on("exit", (code) => lost(`exit code ${code}`))
    return begun.promise
  }

  private take(message: Exclude<FromFoldThread, { readonly release: string }>): void {
    const { current } = this
    if (current === undefined || message.job !== this.jobs) return
    if ("requests" in message) void current.answer(message.requests)
    else if ("failed" in message) current.fail(new Error(message.failed))
    else {
      if ("heapBytes" in message) this.heapBytes = message.heapBytes
      current.done("output" in message ? message.output : undefined)
    }
  }

  /** The thread ends, with whatever it was doing. */
  end(): void {
    this.stopTimer()
    const { current, worker } = this
    this.worker = undefined
    this.begun = undefined
    this.current = undefined
    this.isTaken = false
    void worker?.terminate()
    current?.fail(new Error("the thread that folds it has been ended"))
  }
}
