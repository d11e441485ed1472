import type { DatabaseSync, StatementSync } from "node:sqlite"
import { levelOfPages, unsaidLevel } from "../levels/Levels.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import type { CheckpointHead, StoredHead } from "./CheckpointFile.ts"
import { pageFormat } from "./CheckpointPage.ts"
import { pagesTable, textChecksum } from "./CheckpointRow.ts"
import type { ShapeNames } from "./ShapeNames.ts"
import { ShapePages } from "./ShapePages.ts"
import { ShapeRows } from "./ShapeRows.ts"
import { StoredDefinitions } from "./StoredDefinitions.ts"

/** What has been begun: with pages from the level on that has them, and as before in a file that was begun below it. */
interface Begun {
  readonly definitions: StoredDefinitions
  readonly shapes: ShapePages | ShapeRows
}

/**
 * What stands in the checkpoint file of one epoch, and in the names beside it. Changed between `begin` and `commit`, and
 * blocking the event loop while it is: callers give way between the shapes.
 */
export class CheckpointContents {
  /** Shapes that are not dirty stand in the file as they are. Otherwise `begin` starts over with nothing. */
  isWhole = false
  private readonly db: DatabaseSync
  private readonly names: ShapeNames
  private readonly putText: StatementSync
  private begun: Begun
  /** Handles by id. */
  private handles = new Map<number, string>()

  constructor(db: DatabaseSync, names: ShapeNames) {
    this.db = db
    this.names = names
    this.putText = db.prepare("INSERT OR REPLACE INTO head VALUES (1, ?, ?)")
    this.begun = this.beginRows()
  }

  private beginRows(): Begun {
    const definitions = new StoredDefinitions(this.db)
    return { definitions, shapes: new ShapeRows(this.db, definitions) }
  }

  private beginPages(): Begun {
    this.db.exec(`${pagesTable}; DELETE FROM pages`)
    const definitions = new StoredDefinitions(this.db)
    return { definitions, shapes: new ShapePages(this.db, definitions) }
  }

  /** `level`: of what is stored now. */
  begin(level: number = unsaidLevel): void {
    this.db.exec("BEGIN IMMEDIATE")
    if (this.begun.definitions.isOutgrown) this.isWhole = false
    if (this.isWhole) return
    this.db.exec("DELETE FROM shapes; DELETE FROM definitions; DELETE FROM head")
    this.handles = new Map()
    this.names.beginWhole()
    this.begun = level >= levelOfPages ? this.beginPages() : this.beginRows()
  }

  /** The shape stands in the file as it is now. Gives how many were written: others may have been, which are not dirty any more. */
  put(shape: ShapeState, store: ShapeStore): number {
    return this.begun.shapes.put(shape, this.written, store)
  }

  private readonly written = (shape: ShapeState): void => {
    shape.dirty = false
    if (this.handles.has(shape.id)) return
    const { handle } = shape
    this.names.added(handle)
    this.handles.set(shape.id, handle)
  }

  /** Whether the shape stands in the file as it is now. */
  has({ dirty, id }: ShapeState): boolean {
    return !dirty && (this.isWhole || this.handles.has(id))
  }

  /** Shapes that are no longer in `store` do not stand in the file either, once all steps have been gone through. */
  *removeGone(store: ShapeStore): Generator<number, undefined> {
    for (const [id, handle] of this.handles) {
      if (store.get(id) !== undefined) continue
      this.begun.shapes.remove(id)
      this.names.removed(handle)
      this.handles.delete(id)
    }
    yield* this.begun.shapes.settle(this.written, store)
    return undefined
  }

  putHead(head: CheckpointHead): void {
    const { shapes } = this.begun
    const stored: StoredHead = {
      ...head,
      shapes: this.handles.size,
      ...(shapes instanceof ShapePages ? { pages: pageFormat } : {})
    }
    const text = JSON.stringify(stored)
    this.putText.run(text, textChecksum(1, text))
  }

  writeNames(): Promise<void> {
    return this.names.write(this.handles.values(), this.handles.size)
  }

  commit(): void {
    this.db.exec("COMMIT")
    this.begun.definitions.wroteAll()
  }

  /** Shapes marked as written are not: the next one starts over with everything. */
  rollBack(): void {
    this.isWhole = false
    if (this.db.isTransaction) this.db.exec("ROLLBACK")
  }
}
