import type { DatabaseSync } from "node:sqlite"
import { readShapeRow, selectShapes } from "./CheckpointRow.ts"
import { PlainRows } from "./PlainRows.ts"
import type { ReadShapes } from "./ReadShapes.ts"

/** Reads the shapes of a checkpoint that has a row for each. Gives how many rows it has read, in each step. */
export const readRows = function* (db: DatabaseSync, read: ReadShapes): Generator<number, undefined> {
  const { damaged, definitions, known } = read
  const plain = new PlainRows(known.dormant)
  const rows = db.prepare(selectShapes)
  // An object for each would take a third of the time.
  rows.setReturnArrays(true)
  for (const values of rows.iterate() as unknown as Iterable<Array<unknown>>) {
    yield 1
    const { handle, row } = readShapeRow(values)
    const name = String(handle)
    // A pointer that has become another one gives a row twice, and the row that it pointed to not at all.
    if (damaged.has(name) || known.byHandle(name) !== undefined) continue
    const common = row === undefined ? undefined : definitions.get(row.definition)
    if (row === undefined || common === undefined) damaged.add(name)
    else {
      const shape = plain.shapeOf(row, common)
      if (shape === undefined) read.add(row, common)
      else known.add(shape, row.handle, row.identity)
    }
  }
  return undefined
}
