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
  const ids =
    end !== undefined && buffer[at + 8] === recordKind.transaction
      ? shapesOfDamagedPart(buffer, at + frameHeaderBytes, end)
      : undefined
  const affected = ids === undefined ? [...store.all()].map((shape) => shape.id) : [...ids]
  const handles: Array<string> = []
  for (const id of affected) {
    const shape = store.drop(id, "its log was damaged on disk")
    if (shape !== undefined) handles.push(shape.handle)
  }
  return handles
}
