import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { readMessages } from "../folding/FoldLog.ts"
import type { Pace } from "../folding/Pace.ts"

/**
 * The offset of the last message that a log has about each of these rows before `lsn`, or `first rows`. Undefined where the log does not
 * tell any more.
 */
export const sinceWhen = (
  logs: Pick<ShapeLogs["Service"], "read">,
  shape: ShapeState,
  keys: ReadonlySet<string>,
  before: Lsn,
  pace: Pace
): Effect.Effect<ReadonlyMap<string, string> | undefined, ShapeReadError> => {
  const found = new Map<string, string>()
  const read = readMessages(
    logs,
    shape,
    ({ headers: { lsn, op_position }, key }) => {
      if (key !== undefined && keys.has(key))
        found.set(key, lsn === undefined ? "first rows" : `${lsn}_${op_position ?? 0}`)
    },
    { before, pace }
  )
  return Effect.map(read, (isRead) => (isRead ? found : undefined))
}
