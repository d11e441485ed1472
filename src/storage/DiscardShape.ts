import { reportFault } from "../telemetry/faults/ReportFault.ts"
import type { EngineListeners } from "./EngineListeners.ts"
import type { EngineOptions } from "./EngineOptions.ts"
import type { Writing } from "./roles/Writing.ts"
import type { ShapeState } from "./state/ShapeState.ts"
import type { ShapeStore } from "./state/ShapeStore.ts"

interface Named {
  readonly id: number
  readonly handle: string
}

/** What of the engine it takes to drop a shape. */
interface Shapes {
  readonly options: Pick<EngineOptions, "run">
  readonly listeners: Pick<EngineListeners, "discarded">
  readonly store: Pick<ShapeStore, "drop">
  readonly writing: Pick<Writing, "write" | "writer"> | undefined
  readonly live: (shape: Named) => ShapeState | undefined
}

/** Drops a shape that cannot be served any more, with a line in the log: by a writer for everybody, by a follower for itself. */
const discardShape = (engine: Shapes, shape: Named, what: string, reason: string): void => {
  engine.options.run(
    reportFault(
      "BATON-SHAPE-DISCARDED",
      `${what}. The shape is dropped and its clients fetch it again: ${shape.handle}.`
    )
  )
  const { writing } = engine
  if (writing === undefined) {
    engine.store.drop(shape.id, reason)
    engine.listeners.discarded.tell(shape.handle, reason)
    return
  }
  writing.write({ t: "dropped", ids: [shape.id], reason })
  writing.writer.flush()
}

/** A file of the shape does not hold what was written to it. */
export const discardDamaged = (engine: Shapes, shape: Named, what: string): void => {
  if (engine.live(shape) === undefined) return
  discardShape(engine, shape, `${what}. Check the disk if this happens again`, "a file of it is damaged")
}

/** Its readers are cut whenever they come. */
export const discardUnreadable = (engine: Shapes, shape: Named, why: string): void => {
  if (engine.live(shape) === undefined) return
  const what = `The log of a shape cannot be read, again and again: ${why}`
  discardShape(engine, shape, `${what}. Please report it if the disk is in order`, "its log cannot be read")
}

/** A client has more of the shape than there is: no difference brings it to what the database has. */
export const discardLostHistory = (engine: Shapes, shape: Named): void => {
  if (engine.live(shape) === undefined) return
  const what =
    "A client was told of changes of a shape that this storage has never had, because it is older than what another instance " +
    "has told, or that one was killed before they were durable"
  discardShape(engine, shape, what, "a client has changes of it that storage never had")
}

/** The journal holds entries that do not follow those before them: they were not taken over. */
export const discardDisordered = (engine: Shapes, shape: Named): void =>
  discardShape(
    engine,
    shape,
    "The journal holds entries of a shape that are out of order. Please report it",
    "its log is out of order"
  )
