import type { DatabaseSync, StatementSync } from "node:sqlite"
import type { ShapeState } from "../state/ShapeState.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import { idsOnPage, PageBuilder, pageChecksum, pageOf } from "./CheckpointPage.ts"
import { rowOf } from "./CheckpointRow.ts"
import type { StoredDefinitions } from "./StoredDefinitions.ts"
import type { StoredShapes } from "./StoredShapes.ts"

/** What is longer has a page for itself: writing a shape is not to cost more than what SQLite writes at once, 4 KiB, about. */
const longestSharing = 512

/**
 * Shapes with neighbouring ids in one row, under the number of their page; one whose record is long in one of its own, under its id as
 * a negative number.
 */
export class ShapePages implements StoredShapes {
  private readonly definitions: StoredDefinitions
  private readonly putPage: StatementSync
  private readonly removePage: StatementSync
  private readonly shared = new PageBuilder()
  private readonly own = new PageBuilder()
  /** Ids of those that have a page for themselves. */
  private readonly alone = new Set<number>()
  /** Pages that shapes stand on which are to be removed. */
  private readonly stale = new Set<number>()

  /** Of a file that has no pages yet. */
  constructor(db: DatabaseSync, definitions: StoredDefinitions) {
    this.definitions = definitions
    this.putPage = db.prepare("INSERT OR REPLACE INTO pages VALUES (?, ?, ?)")
    this.removePage = db.prepare("DELETE FROM pages WHERE key = ?")
  }

  put({ id }: ShapeState, written: (shape: ShapeState) => void, store: ShapeStore): number {
    return this.write(pageOf(id), written, store)
  }

  remove(id: number): void {
    if (this.alone.delete(id)) this.removePage.run(-id)
    else this.stale.add(pageOf(id))
  }

  *settle(written: (shape: ShapeState) => void, store: ShapeStore): Generator<number, undefined> {
    for (const page of this.stale) yield this.write(page, written, store)
    return undefined
  }

  private write(page: number, written: (shape: ShapeState) => void, store: ShapeStore): number {
    const { alone, shared } = this
    this.stale.delete(page)
    shared.begin()
    let count = 0
    const [first, end] = idsOnPage(page)
    for (let id = first; id < end; id++) {
      const shape = store.get(id)
      // One that has a row of its own stands there as it is.
      if (shape === undefined || shape.dropped || (!shape.dirty && alone.has(id))) continue
      this.add(shape)
      written(shape)
      count++
    }
    if (shared.page.length > 0) this.writeRow(page, shared.page)
    else this.removePage.run(page)
    return count
  }

  private add(shape: ShapeState): void {
    const { alone, own, shared } = this
    const { id } = shape
    const number = this.definitions.numberOfTemplate(shape.template)
    const record = number === undefined ? undefined : shape.stored(number)
    const text = record === undefined ? this.textOf(shape) : undefined
    const isLong = (record ?? text ?? "").length > longestSharing
    const to = isLong ? own : shared
    if (isLong) own.begin()
    if (record !== undefined) to.add(record)
    else to.addText(text ?? "")
    if (isLong) {
      alone.add(id)
      this.writeRow(-id, own.page)
    } else if (alone.delete(id)) this.removePage.run(-id)
  }

  private textOf(shape: ShapeState): string {
    const { definition } = shape
    return JSON.stringify(Object.values(rowOf(shape, definition, this.definitions.numberOf(definition))))
  }

  private writeRow(key: number, page: Buffer): void {
    this.putPage.run(key, page, pageChecksum(key, page))
  }
}
