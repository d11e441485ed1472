import { frameHeaderBytes } from "../disk/Frame.ts"
import { recordKind } from "../records/Records.ts"
import { shapesOfDamagedPart } from "../records/TransactionPart.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"

/**
 * Drops the shapes of the damaged record that stands from `at` to `end`; all of them when nobody can tell which those are.
 * Returns their handles.
 */
export const dropShapesIn = (
  store: ShapeStore,
  buffer: Buffer,
  at: number,
  end: number | undefined
): ReadonlyArray<string> => {
  const kind = buffer[at + 8]
  const isPart = kind === recordKind.transaction || kind === recordKind.lateTransaction
  const ids =
    end !== undefined && isPart ? shapesOfDamagedPart(buffer, at + frameHeaderBytes, end) : undefined
  // The record may be a part of what is open, or its end.
  const affected =
    ids === undefined ? [...store.all()].map((shape) => shape.id) : new Set([...ids, ...store.pendingIds()])
  const handles: Array<string> = []
  for (const id of affected) {
    const shape = store.drop(id, "its log was damaged on disk")
    if (shape !== undefined) handles.push(shape.handle)
  }
  return handles
}
