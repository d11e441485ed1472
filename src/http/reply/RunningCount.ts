import { Deferred, Effect } from "effect"

/** How many requests of one handler have a response that is not finished, and who waits for there being none. */
export class RunningCount {
  private running = 0
  private idle: Deferred.Deferred<void> | undefined

  get current(): number {
    return this.running
  }

  begin(): void {
    this.running++
  }

  /** Once for each `begin`. */
  over(): void {
    this.running--
    if (this.running > 0 || this.idle === undefined) return
    Deferred.doneUnsafe(this.idle, Effect.void)
    this.idle = undefined
  }

  /** Completes when none is running. */
  readonly awaitIdle: Effect.Effect<void> = Effect.suspend(() =>
    this.running === 0 ? Effect.void : Deferred.await((this.idle ??= Deferred.makeUnsafe<void>()))
  )
}
