import type { PieceSource } from "../../shared/Pieces.ts"
import type { Timers } from "../../shared/Timers.ts"

/** However many look, one look a second is enough for all of them. */
const tickMillis = 1000
const mostViewers = 50
/** Looking goes on for a moment: a worker asks for one event after the other. */
const lingerMillis = 3000

/** Somebody who is sent every tick that they have room for. */
class Viewer {
  private latest: Uint8Array | undefined
  private wake: (() => void) | undefined
  isOver = false

  /** One that has not been taken yet is replaced: what is old is of no use. */
  give(event: Uint8Array): void {
    this.latest = event
    this.wake?.()
  }

  end(): void {
    this.isOver = true
    this.wake?.()
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.latest === undefined && !this.isOver)
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    const event = this.latest
    this.latest = undefined
    return event
  }
}

/**
 * Events that all viewers share. While there are none, no timer runs and nothing is looked at. `look` begins to make an event,
 * and gives it to its argument in the end; the next one is begun after that.
 */
export class LiveTicks {
  private readonly viewers = new Set<Viewer>()
  private readonly timers: Timers
  private readonly look: (done: (event: Uint8Array | undefined) => void) => void
  private readonly onViewers: (areThere: boolean) => void
  private stopTimer: (() => void) | undefined
  private stopLinger: (() => void) | undefined
  private last: { readonly event: Uint8Array; readonly atMillis: number } | undefined
  private isLooking = false
  private isDrained = false

  constructor(options: {
    readonly timers: Timers
    readonly look: (done: (event: Uint8Array | undefined) => void) => void
    /** Told when the first comes, and when the last is gone. */
    readonly onViewers: (areThere: boolean) => void
  }) {
    this.timers = options.timers
    this.look = options.look
    this.onViewers = options.onViewers
  }

  /** There is room for one more, and this process is not about to stop. */
  get takesMore(): boolean {
    return !this.isDrained && this.viewers.size < mostViewers
  }

  /** The events of one viewer, from now on; `once`: the next one only. */
  events(once: boolean): PieceSource {
    return () => this.stream(once)
  }

  private async *stream(once: boolean): AsyncGenerator<Uint8Array> {
    const viewer = new Viewer()
    this.join(viewer)
    try {
      for (;;) {
        const event = await viewer.next()
        if (event === undefined) return
        yield event
        if (once) return
      }
    } finally {
      this.leave(viewer)
    }
  }

  private join(viewer: Viewer): void {
    if (!this.takesMore) return viewer.end()
    this.viewers.add(viewer)
    this.stopLinger?.()
    this.stopLinger = undefined
    if (this.stopTimer === undefined) {
      this.onViewers(true)
      this.stopTimer = this.timers.every(tickMillis, () => this.tick(), "aside")
    }
    const { last } = this
    if (last !== undefined && this.timers.nowMillis() - last.atMillis < tickMillis) viewer.give(last.event)
    else this.tick()
  }

  private leave(viewer: Viewer): void {
    this.viewers.delete(viewer)
    if (this.viewers.size === 0 && this.stopTimer !== undefined)
      this.stopLinger ??= this.timers.after(lingerMillis, () => this.rest(), "aside")
  }

  private rest(): void {
    this.stopLinger = undefined
    this.stopTimer?.()
    this.stopTimer = undefined
    this.onViewers(false)
  }

  private tick(): void {
    if (this.isLooking) return
    this.isLooking = true
    this.look((event) => {
      this.isLooking = false
      if (event === undefined) return
      this.last = { event, atMillis: this.timers.nowMillis() }
      for (const viewer of this.viewers) viewer.give(event)
    })
  }

  /** Ends all streams: this process is about to stop, and their viewers are to look elsewhere. */
  drain(): void {
    this.isDrained = true
    for (const viewer of this.viewers) viewer.end()
    this.stopLinger?.()
    if (this.stopTimer !== undefined) this.rest()
  }
}
