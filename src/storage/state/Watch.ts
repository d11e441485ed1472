import { compareOffsets, isVirtual, type LogOffset, snapshotEnd } from "../../shapes/LogOffset.ts"
import type { LogWatcher, ShapeHandle } from "../ShapeLogs.ts"
import type { ShapeState } from "./ShapeState.ts"
import type { Waiter, Waiters, WakeReason } from "./Waiters.ts"

/** What a watch looks at. */
interface WatchedLogs {
  readonly waiters: Waiters
  readonly timers: { readonly nowMillis: () => number }
  live(shape: ShapeHandle): ShapeState | undefined
}

/** Whether the log has something for a reader at `after`. */
const isBeyond = (shape: ShapeState, after: LogOffset): boolean => {
  const from = isVirtual(after) && shape.snapshotComplete ? snapshotEnd : after
  return compareOffsets(shape.end, from) > 0
}

/**
 * One reader that waits for a log to go beyond an offset: a small object among the waiters of its shape. Looking and
 * beginning to wait are one step, so that nothing in between is missed; one that is woken for nothing waits on.
 */
export class Watch implements Waiter {
  set: Set<Waiter> | undefined = undefined
  slot = 0
  private readonly logs: WatchedLogs
  private readonly shape: ShapeHandle
  private readonly after: LogOffset
  private readonly deadlineMillis: number
  private watcher: LogWatcher | undefined

  constructor(
    logs: WatchedLogs,
    shape: ShapeHandle,
    after: LogOffset,
    timeoutMillis: number,
    watcher: LogWatcher
  ) {
    this.logs = logs
    this.shape = shape
    this.after = after
    this.deadlineMillis = logs.timers.nowMillis() + timeoutMillis
    this.watcher = watcher
  }

  /** Looks, and waits if there is nothing yet. Gives the reason not to wait, if there is one; then it is over. */
  begin(): WakeReason | undefined {
    const { logs, after } = this
    const state = logs.live(this.shape)
    if (state === undefined) return "dropped"
    if (isBeyond(state, after)) return "changed"
    const remaining = Math.max(0, this.deadlineMillis - logs.timers.nowMillis())
    logs.waiters.add(this, (state.waiters ??= new Set()), remaining)
    return undefined
  }

  resume(reason: WakeReason): void {
    const { watcher } = this
    if (watcher === undefined) return
    const found = reason === "changed" ? this.begin() : reason
    if (found === undefined) return
    this.watcher = undefined
    watcher.woken(found)
  }

  /** The watcher hears nothing any more. */
  stop(): void {
    this.watcher = undefined
    this.logs.waiters.forget(this)
  }
}
