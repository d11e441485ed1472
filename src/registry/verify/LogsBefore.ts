import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import type { LogRead, ShapeLogs } from "../../storage/ShapeLogs.ts"
import { offsetOf } from "../../storage/records/Compaction.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"

const gone: LogRead = { _tag: "Dropped" }

/** What was before the position, and what came later, has been put together: nobody can tell them apart any more. */
const isCompactedBeyond = ({ compaction }: ShapeState, lsn: Lsn): boolean => {
  const base = compaction?.bases.at(-1)
  const { folded } = compaction ?? {}
  return (
    (base !== undefined && offsetOf(base.at).tx >= lsn) ||
    (folded !== undefined && offsetOf(folded).tx >= lsn)
  )
}

/**
 * Logs for whoever wants to know what they said before a position, a while later. `unfit` is told of a shape whose log does not tell
 * that any more; what was read of it does not count then.
 */
export const logsBefore = (
  logs: Pick<ShapeLogs["Service"], "read">,
  shapes: ReadonlyArray<ShapeState>,
  lsn: Lsn,
  unfit: (shape: ShapeState) => void
): Pick<ShapeLogs["Service"], "read"> => {
  const byId = new Map(shapes.map((shape) => [shape.id, shape]))
  return {
    read: (shape, after) =>
      Effect.map(logs.read(shape, after), (read) => {
        const state = byId.get(shape.id)
        if (state === undefined || state.dropped) return gone
        // What is read was chosen before it could change again.
        if (read._tag === "Slice" && !isCompactedBeyond(state, lsn)) return read
        unfit(state)
        return gone
      })
  }
}
