import type { Tuple } from "../postgres/Tuple.ts"
import type { WhereClause } from "../where/WhereClause.ts"

/** Ids of shapes, in an array that is used again for the next row. */
export class IdList {
  ids = new Uint32Array(64)
  count = 0

  push(id: number): void {
    if (this.count === this.ids.length) {
      const larger = new Uint32Array(this.ids.length * 2)
      larger.set(this.ids)
      this.ids = larger
    }
    this.ids[this.count++] = id
  }
}

/** What a row means for the shapes of a table. */
export interface Matches {
  /** Shapes whose condition is true for the row. */
  readonly matched: IdList
  /** Shapes whose condition cannot be evaluated for the row: it is an error in Postgres too. */
  readonly failed: IdList
  /** Shapes whose condition only Postgres can evaluate. */
  readonly undecided: IdList
}

/** Knows which shapes of one table a row belongs to. */
export interface Matcher {
  readonly add: (id: number, clause: WhereClause | undefined) => void
  readonly remove: (id: number) => void
  /** Appends to `out`. */
  readonly match: (row: Tuple, out: Matches) => void
  /** Every shape takes every row: matching need not be asked. */
  readonly takesAll: boolean
}

export type MakeMatcher = (
  columns: ReadonlyArray<{ readonly name: string; readonly typeOid: number }>
) => Matcher

/** For tables whose shapes have no conditions. */
export const allRowsMatcher: MakeMatcher = () => {
  const list = new IdList()
  const places = new Map<number, number>()
  return {
    add: (id) => {
      places.set(id, list.count)
      list.push(id)
    },
    remove: (id) => {
      const at = places.get(id)
      if (at === undefined) return
      places.delete(id)
      const moved = list.ids[--list.count] as number
      if (moved !== id) {
        list.ids[at] = moved
        places.set(moved, at)
      }
    },
    match: (_row, out) => {
      for (let i = 0; i < list.count; i++) out.matched.push(list.ids[i] as number)
    },
    takesAll: true
  }
}
