import type { DatabaseSync, StatementSync } from "node:sqlite"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import type { CheckpointHead } from "./CheckpointFile.ts"
import { rowOf, shapeChecksum, textChecksum } from "./CheckpointRow.ts"
import type { ShapeNames } from "./ShapeNames.ts"

/**
 * What stands in the checkpoint file of one epoch, and in the names beside it. Changed between `begin` and `commit`, and
 * blocking the event loop while it is: callers give way between the shapes.
 */
export class CheckpointContents {
  /** Shapes that are not dirty stand in the file as they are. Otherwise `begin` starts over with nothing. */
  isWhole = false
  private readonly db: DatabaseSync
  private readonly names: ShapeNames
  private readonly putShape: StatementSync
  private readonly putDefinition: StatementSync
  private readonly removeShape: StatementSync
  private readonly putText: StatementSync
  private definitionIds = new Map<string, number>()
  /** Handles by id. */
  private handles = new Map<number, string>()

  constructor(db: DatabaseSync, names: ShapeNames) {
    this.db = db
    this.names = names
    this.putShape = db.prepare(
      "INSERT OR REPLACE INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    this.putDefinition = db.prepare("INSERT INTO definitions VALUES (?, ?, ?)")
    this.removeShape = db.prepare("DELETE FROM shapes WHERE id = ?")
    this.putText = db.prepare("INSERT OR REPLACE INTO head VALUES (1, ?, ?)")
  }

  begin(): void {
    this.db.exec("BEGIN IMMEDIATE")
    if (this.isWhole) return
    this.db.exec("DELETE FROM shapes; DELETE FROM definitions; DELETE FROM head")
    this.handles = new Map()
    this.names.beginWhole()
    this.definitionIds = new Map()
  }

  /** The shape stands in the file as it is now. */
  put(shape: ShapeState): void {
    const { definition } = shape
    const row = rowOf(shape, definition, this.definitionId(definition))
    this.putShape.run(...Object.values(row), shapeChecksum(row))
    shape.dirty = false
    if (!this.handles.has(shape.id)) this.names.added(shape.handle)
    this.handles.set(shape.id, shape.handle)
  }

  /** Shapes that are no longer in `store` do not stand in the file either. */
  removeGone(store: ShapeStore): void {
    for (const [id, handle] of this.handles) {
      if (store.get(id) !== undefined) continue
      this.removeShape.run(id)
      this.names.removed(handle)
      this.handles.delete(id)
    }
  }

  putHead(head: CheckpointHead): void {
    const text = JSON.stringify({ ...head, shapes: this.handles.size })
    this.putText.run(text, textChecksum(1, text))
  }

  writeNames(): Promise<void> {
    return this.names.write(this.handles.values(), this.handles.size)
  }

  commit(): void {
    this.db.exec("COMMIT")
  }

  /** Shapes marked as written are not: the next one starts over with everything. */
  rollBack(): void {
    this.isWhole = false
    if (this.db.isTransaction) this.db.exec("ROLLBACK")
  }

  private definitionId(definition: ShapeDefinition): number {
    const json = JSON.stringify({ ...definition, where: undefined })
    const known = this.definitionIds.get(json)
    if (known !== undefined) return known
    const id = this.definitionIds.size + 1
    this.putDefinition.run(id, json, textChecksum(id, json))
    this.definitionIds.set(json, id)
    return id
  }
}
