import type { Timers } from "../shared/Timers.ts"

/** How long a request may be silent: its signal ends it, and the request with it, unless something is heard in between. */
export class RequestPatience {
  /** It has been silent for too long. */
  isOver = false
  private readonly controller = new AbortController()
  private heardMillis: number
  private cancel: () => void
  private readonly timers: Timers
  /** How long it may be silent at present. */
  millis: number
  private readonly onceHeardMillis: number

  /** `millis` before anything is heard, and `onceHeardMillis` from then on. */
  constructor(timers: Timers, millis: number, onceHeardMillis: number) {
    this.timers = timers
    this.millis = millis
    this.onceHeardMillis = onceHeardMillis
    this.heardMillis = timers.nowMillis()
    this.cancel = this.wait(millis)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  heard(): void {
    this.millis = this.onceHeardMillis
    this.heardMillis = this.timers.nowMillis()
  }

  abort(reason: Error): void {
    this.end()
    this.controller.abort(reason)
  }

  /** No answer is waited for any more. */
  end(): void {
    this.cancel()
  }

  private wait(millis: number): () => void {
    return this.timers.after(millis, () => this.look(), "aside")
  }

  private look(): void {
    const restMillis = this.heardMillis + this.millis - this.timers.nowMillis()
    if (restMillis > 0) this.cancel = this.wait(Math.ceil(restMillis))
    else {
      this.isOver = true
      this.controller.abort(new Error("nothing is heard"))
    }
  }
}
