import { Context, type Effect, Schema } from "effect"
import type { Lsn } from "../shared/Lsn.ts"
import type { PieceSource } from "../shared/Pieces.ts"
import type { LogOffset } from "../shapes/LogOffset.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { WakeReason } from "./state/Waiters.ts"

/** A shape as its readers know it. Identity of the object is identity of the shape for as long as it lives. */
export interface ShapeHandle {
  /** Unique in the storage directory; never reused. */
  readonly id: number
  /** `<identity hash>-<creation time in microseconds>`; never reused. */
  readonly handle: string
  readonly definition: ShapeDefinition
  /** `forRoom`: another one like it may have to wait until there is room. */
  readonly dropped: Dropped
}

/** Whether a shape is gone for ever. */
export type Dropped = false | "gone" | "forRoom"

/** The log entries after an offset, up to the end of a chunk or of the log. */
export interface LogSlice {
  readonly _tag: "Slice"
  /** Where a reader continues. Never inside a transaction that is not wholly visible. */
  readonly next: LogOffset
  /** `next` is the end of the log: an `up-to-date` message may follow. */
  readonly upToDate: boolean
  /**
   * The entries in wire form, joined with commas, without enclosing brackets. Small slices are one buffer that
   * all readers at this offset share; large ones, and snapshots still being written, come in pieces, which throw
   * `ShapeReadError`; they are asked for once, unless `finishedBytes` says otherwise.
   */
  readonly body: Uint8Array | PieceSource
  /**
   * Length of the body, where it is a whole snapshot chunk: then every reader at this offset is given the same bytes for
   * as long as the shape lives, and a body in pieces can be run more than once. Left out otherwise.
   */
  readonly finishedBytes?: number
}

export type LogRead =
  | LogSlice
  /** The shape is gone: 409. */
  | { readonly _tag: "Dropped" }
  /** The shape is there, and its log begins behind the offset: 409 for this reader. */
  | { readonly _tag: "Expired" }
  /** The offset lies beyond the end of the log as this instance knows it. */
  | { readonly _tag: "Ahead" }

/** Who waits for a log. */
export interface LogWatcher {
  /** Called once, and not from within `watch`. Must not throw. */
  woken(reason: WakeReason): void
}

/** A file of the shape could not be read, or does not hold what it should. The response is cut; the client retries. */
export class ShapeReadError extends Schema.TaggedError<ShapeReadError>()("ShapeReadError", {
  handle: Schema.String,
  message: Schema.String,
  /** Nothing is wrong with what is stored: the bucket cannot be reached, or a disk is full. */
  mayPass: Schema.optional(Schema.Boolean)
}) {}

/**
 * What readers see of every shape of the storage directory, on an active and on a following instance alike.
 * Look-ups are synchronous: they never wait for disk or database.
 */
export class ShapeLogs extends Context.Service<
  ShapeLogs,
  {
    /** The live shape with this handle, or another name of it (`HandleAlias`). Dropped shapes are not found. */
    readonly byHandle: (handle: string) => ShapeHandle | undefined
    /** The live shape with this identity (`shapeIdentity`). */
    readonly byIdentity: (identity: string) => ShapeHandle | undefined
    readonly count: () => number
    /** True once the first rows of the shape can be read (its snapshot may still be running). */
    readonly isReadable: (shape: ShapeHandle) => boolean
    /** Where somebody goes on who has begun at `-1`. */
    readonly firstOffset: (shape: ShapeHandle) => LogOffset
    /** The end of the log: last committed operation, or `0_inf`. */
    readonly lastOffset: (shape: ShapeHandle) => LogOffset
    /** Entries strictly after `after`. `-1` gives snapshot chunk 0, with `next` `0_0`, never up to date. */
    readonly read: (shape: ShapeHandle, after: LogOffset) => Effect.Effect<LogRead, ShapeReadError>
    /**
     * What `read` gives, where it can be given without waiting for disk or snapshot; otherwise undefined. Answers of this
     * kind cost a request no fiber.
     */
    readonly readNow: (shape: ShapeHandle, after: LogOffset) => LogRead | undefined
    /**
     * Waits until the log reaches beyond `after`, the shape is dropped, or the time is over: tells the watcher, or answers at
     * once with the reason not to wait. Checks before it waits, so no change in between is missed. Call `stop` when the
     * client is gone.
     */
    readonly watch: (
      shape: ShapeHandle,
      after: LogOffset,
      timeoutMillis: number,
      watcher: LogWatcher
    ) => WakeReason | { stop(): void }
    /**
     * LSN up to which every change to this shape is readable: that of the last transaction that this instance has processed, or,
     * for a shape with sub-selects, as far as these are.
     */
    readonly lastSeenLsn: (shape: ShapeHandle) => Lsn
    /**
     * Where a shape with sub-selects lacks something of what has been processed by now: completes when it has all of that, is
     * gone, or the time is over. `undefined` for all others.
     */
    readonly caughtUp: (shape: ShapeHandle, timeoutMillis: number) => Effect.Effect<void> | undefined
  }
>()("baton/storage/ShapeLogs") {}
