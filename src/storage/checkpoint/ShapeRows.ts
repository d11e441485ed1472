import type { DatabaseSync, StatementSync } from "node:sqlite"
import type { ShapeState } from "../state/ShapeState.ts"
import { rowOf, shapeChecksum } from "./CheckpointRow.ts"
import type { StoredDefinitions } from "./StoredDefinitions.ts"
import type { StoredShapes } from "./StoredShapes.ts"

/** A row for each shape, which release 0.1.0 reads. */
export class ShapeRows implements StoredShapes {
  private readonly definitions: StoredDefinitions
  private readonly putShape: StatementSync
  private readonly removeShape: StatementSync

  constructor(db: DatabaseSync, definitions: StoredDefinitions) {
    this.definitions = definitions
    this.putShape = db.prepare(
      "INSERT OR REPLACE INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    this.removeShape = db.prepare("DELETE FROM shapes WHERE id = ?")
  }

  put(shape: ShapeState, written: (shape: ShapeState) => void): number {
    const { definition } = shape
    const row = rowOf(shape, definition, this.definitions.numberOf(definition))
    this.putShape.run(...Object.values(row), shapeChecksum(row))
    written(shape)
    return 1
  }

  remove(id: number): void {
    this.removeShape.run(id)
  }

  settle(): ReadonlyArray<number> {
    return []
  }
}
