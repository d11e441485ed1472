import { Context, Data, Effect, SubscriptionRef } from "effect"
import { type HealthState, isStopping } from "../health/HealthState.ts"
import { StreamStatus } from "../telemetry/stream/StreamStatus.ts"
import { type Answers, type Question, type ToMain, type ToWorker } from "./WorkerProtocol.ts"
import { heartbeatMillis, silenceMillis } from "./WorkerTimings.ts"
import { systemTimers, type Timers } from "../shared/Timers.ts"

/** The main process does not answer: it is stuck, or its answer does not matter any more. */
class MainSilent extends Data.TaggedError("MainSilent")<{ readonly message: string }> {}

type Answer = Answers[keyof Answers]

/** What a worker does with what it is told. */
export interface Listener {
  readonly tableChanged: (oid: number) => void
  readonly dropped: (ids: Uint32Array) => void
  readonly drain: () => void
  readonly expire: () => void
  readonly report: (id: number) => void
  readonly readers: (id: number, shapes: Uint32Array) => void
}

/**
 * The main process as a worker sees it: its state, and what can be asked of it. When it is not heard of for some
 * seconds, questions fail, and the state becomes `waiting`: this process can go on with the shapes there are, and
 * a load balancer learns that new ones are not made.
 */
export class MainLink {
  readonly state: SubscriptionRef.SubscriptionRef<HealthState>
  /** See `Storage.writerUrl`. */
  writerUrl: string | undefined
  /** Where it is noted how it stands with the stream of the main process. */
  stream = new StreamStatus()
  private readonly post: (message: ToMain) => void
  private readonly pending = new Map<number, (answer: Effect.Effect<Answer, MainSilent>) => void>()
  private nextId = 0
  private heardAtMillis: number
  private readonly timers: Timers
  private listener: Listener | undefined
  private early: Array<ToWorker> = []

  constructor(state: HealthState, post: (message: ToMain) => void, timers: Timers = systemTimers) {
    this.timers = timers
    this.heardAtMillis = timers.nowMillis()
    this.state = Effect.runSync(SubscriptionRef.make(state))
    this.post = post
    timers.every(heartbeatMillis, () => this.checkSilence(), "aside")
  }

  send(message: ToMain): void {
    this.post(message)
  }

  /** What came before there was somebody to listen is told at once. */
  listen(listener: Listener): void {
    this.listener = listener
    const { early } = this
    this.early = []
    for (const message of early) this.receive(message)
  }

  receive(message: ToWorker): void {
    this.heardAtMillis = this.timers.nowMillis()
    switch (message._tag) {
      // Both are for the process as a whole.
      case "Start":
      case "Stop":
        return
      case "State":
        this.writerUrl = message.writerUrl
        this.stream.report = message.stream
        return this.setState(message.state)
      case "Answer": {
        const resume = this.pending.get(message.id)
        this.pending.delete(message.id)
        return resume?.(Effect.succeed(message.answer))
      }
      default:
        if (this.listener === undefined) this.early.push(message)
        else tell(this.listener, message)
    }
  }

  private setState(state: HealthState): void {
    Effect.runSync(SubscriptionRef.set(this.state, state))
  }

  private checkSilence(): void {
    if (this.timers.nowMillis() - this.heardAtMillis < silenceMillis) return
    if (!isStopping(SubscriptionRef.getUnsafe(this.state))) this.setState("waiting")
    for (const resume of this.pending.values())
      resume(Effect.fail(new MainSilent({ message: "The main process does not answer" })))
    this.pending.clear()
  }

  ask<Q extends Question>(question: Q): Effect.Effect<Answers[Q["_tag"]], MainSilent> {
    return Effect.callback<Answer, MainSilent>((resume) => {
      const id = this.nextId++
      this.pending.set(id, resume)
      this.send({ _tag: "Ask", id, question })
      return Effect.sync(() => this.pending.delete(id))
      // An answer carries the id of its question, and is of its kind.
    }) as Effect.Effect<Answers[Q["_tag"]], MainSilent>
  }
}

const tell = (
  listener: Listener,
  message: Exclude<ToWorker, { readonly _tag: "Start" | "Stop" | "State" | "Answer" }>
): void => {
  switch (message._tag) {
    case "TableChanged":
      return listener.tableChanged(message.oid)
    case "Dropped":
      return listener.dropped(message.ids)
    case "Drain":
      return listener.drain()
    case "Expire":
      return listener.expire()
    case "AskReport":
      return listener.report(message.id)
    case "AskReaders":
      return listener.readers(message.id, message.shapes)
  }
}

export class Main extends Context.Service<Main, MainLink>()("baton/workers/Main") {}
