import { Context, type Effect, Schema } from "effect"
import { refusalFor, type RefusalReason, refusalReasons } from "../health/Refusal.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { ShapeHandle } from "../storage/ShapeLogs.ts"

/** This instance cannot create or delete shapes now, for the reason that `why` names. Retry after some seconds. */
export class NotActive extends Schema.TaggedError<NotActive>()("NotActive", {
  why: Schema.Literals(refusalReasons),
  message: Schema.String
}) {}

/** `message`: for what the reason alone does not say. */
export const notActive = (why: RefusalReason, message: string = refusalFor(why).message): NotActive =>
  new NotActive({ why, message })

const snapshotFailures = [
  "schemaChanged",
  "conditionOutdated",
  "conditionFailed",
  "refused",
  "unavailable",
  "unexpected"
] as const

/** The first rows of a new shape could not be read; the shape is gone again and the next request starts over. */
export class SnapshotFailed extends Schema.TaggedError<SnapshotFailed>()("SnapshotFailed", {
  /**
   * `schemaChanged`: the table is not what the definition says; the catalogue is read anew and the shape made of what it
   * says. `conditionOutdated`: Postgres does not know a function, an operator or a type of the condition; the same, and if
   * it goes on like that a 400 with `message`. `conditionFailed`: 400, Postgres cannot evaluate the condition, or not for
   * the present rows; `message` is what it says. `refused`: 400, the table is of a kind that has no shapes. `unavailable`:
   * 503, a known and passing condition. `unexpected`: 500.
   */
  kind: Schema.Literals(snapshotFailures),
  message: Schema.String
}) {}

/** Creates, finds and drops shapes, and routes every change to the shapes it belongs to. */
export class ShapeRegistry extends Context.Service<
  ShapeRegistry,
  {
    /**
     * The live shape for this definition; made if there is none, which needs an active instance. Completes when
     * its first rows can be read and its creation is durable. Concurrent calls for one definition share one snapshot.
     */
    readonly getOrCreate: (
      definition: ShapeDefinition
    ) => Effect.Effect<ShapeHandle, NotActive | SnapshotFailed>
    /** Drops a shape for ever: its handle is refused from now on. False if it was not there. */
    readonly drop: (handle: string, reason: string) => Effect.Effect<boolean, NotActive>
    /** Notes that a client used the shape (for eviction). */
    readonly touch: (shape: ShapeHandle) => void
    /**
     * Completes when what other processes have told their clients is known here as well, as far as storage holds it: before
     * a client is told that its handle is none. At once in the process that makes and drops the shapes. False where a client may
     * still know more: what the active instance before had told it is to come once more from the stream, or could not be read.
     */
    readonly settle: Effect.Effect<boolean>
  }
>()("baton/registry/ShapeRegistry") {}
