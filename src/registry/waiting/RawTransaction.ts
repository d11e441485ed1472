import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { ChangePages } from "./ChangePages.ts"
import type { PageStore } from "./PageStore.ts"

/** One operation, as it came. */
export type RawChange =
  | {
      readonly _tag: "Row"
      readonly relation: Relation
      readonly op: number
      readonly oldRow: Tuple | undefined
      readonly row: Tuple | undefined
    }
  /** All rows of these tables are gone. */
  | { readonly _tag: "Truncate"; readonly tableOids: ReadonlyArray<number> }

type Mutable<A> = { -readonly [Key in keyof A]: A[Key] }

/** Nothing is ever added to these. */
const noRelations: Array<Relation> = []
const noTables: Array<ReadonlyArray<number>> = []

/** A transaction of the stream, as far as shapes with sub-selects can be concerned: in pages of a store. */
export class RawTransaction {
  readonly commitLsn: Lsn
  readonly xid: number
  /** Of all transactions, whether they concern somebody or not. */
  readonly serial: number
  /** The end of its commit record; known when all of it has come. */
  endLsn: Lsn = 0n
  /** The number that another operation would have; known when all of it has come. */
  nextOp = 0
  private readonly store: PageStore
  /** Most transactions concern nobody, and have none. */
  private pages: ChangePages | undefined
  /** What entries in the pages are about, by number; those of `truncated` have negative ones. */
  private relations: Array<Relation> = noRelations
  private truncated: Array<ReadonlyArray<number>> = noTables
  private latest: Relation | undefined
  private latestNumber = 0
  private count = 0

  constructor(commitLsn: Lsn, xid: number, serial: number, store: PageStore) {
    this.commitLsn = commitLsn
    this.xid = xid
    this.serial = serial
    this.store = store
  }

  private begun(): ChangePages {
    if (this.pages !== undefined) return this.pages
    this.relations = []
    this.truncated = []
    return (this.pages = new ChangePages(this.store))
  }

  get isEmpty(): boolean {
    return this.count === 0
  }

  /** The tables that each TRUNCATE of it has emptied. */
  get truncations(): ReadonlyArray<ReadonlyArray<number>> {
    return this.truncated
  }

  /** Rows of one of these relations are among its changes. */
  concerns(isWanted: (relationOid: number) => boolean): boolean {
    return this.relations.some(({ oid }) => isWanted(oid))
  }

  add(relation: Relation, op: number, oldRow: Tuple | undefined, row: Tuple | undefined): void {
    const pages = this.begun()
    if (relation !== this.latest) {
      const known = this.relations.indexOf(relation)
      this.latestNumber = known < 0 ? this.relations.push(relation) - 1 : known
      this.latest = relation
    }
    pages.add(this.latestNumber, op, oldRow, row)
    this.count++
  }

  truncate(tableOids: ReadonlyArray<number>): void {
    const pages = this.begun()
    pages.add(-this.truncated.push(tableOids), 0, undefined, undefined)
    this.count++
  }

  /** In their order. One is valid until the next one is taken. */
  *changes(): Iterable<RawChange> {
    const change: Mutable<Partial<Extract<RawChange, { _tag: "Row" }>>> = { _tag: "Row" }
    if (this.pages === undefined) return
    for (const entry of this.pages.entries()) {
      if (entry.what < 0) {
        yield { _tag: "Truncate", tableOids: this.truncated[-entry.what - 1] ?? [] }
        continue
      }
      change.relation = this.relations[entry.what] as Relation
      change.op = entry.op
      change.oldRow = entry.oldRow
      change.row = entry.row
      yield change as Extract<RawChange, { _tag: "Row" }>
    }
  }

  /** It was processed, or is not wanted: its changes are forgotten. */
  release(): void {
    this.pages?.release()
  }
}
