import type { Tuple } from "../../postgres/Tuple.ts"
import type { Limits } from "../../config/Limits.ts"
import {
  Burst,
  ClauseOutdated,
  FilterIndex,
  makeRunnable,
  type MatchList,
  type Membership,
  type Zones
} from "../../where/index.ts"
import type { WhereClause } from "../../where/WhereClause.ts"

/** Ids of shapes: the first `count` of `ids`. */
export interface Ids {
  readonly ids: Uint32Array
  readonly count: number
}

/** Ids in an array that is used again for the next row. */
export class IdList implements Ids {
  ids = new Uint32Array(16)
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

/** Nothing failed, nothing is left for Postgres to decide, and nothing has become too costly. */
export const isSettled = (matches: MatchList): boolean =>
  matches.errors.length === 0 && matches.undecided.length === 0 && matches.costly.length === 0

/** Knows which shapes of one table a row belongs to. */
export interface Matcher {
  /** False when the rows lack what the condition needs. */
  readonly add: (id: number, clause: WhereClause | undefined) => boolean
  readonly remove: (id: number) => void
  /** Appends to `out`. Returns what it has cost, in steps of some ten nanoseconds. */
  readonly match: (row: Tuple, out: MatchList) => number
  /** Every shape takes every row: the old row need not be asked about when the new one was. */
  readonly takesAll: () => boolean
}

export type MakeMatcher = (
  columns: ReadonlyArray<{ readonly name: string; readonly typeOid: number }>
) => Matcher

/**
 * Makes matchers whose conditions together keep to these limits. Without `zones`, those of the runtime count; without `membership`
 * conditions with sub-selects are undecided.
 */
export const makeClauseMatcher = (limits: Limits, zones?: Zones, membership?: Membership): MakeMatcher => {
  const burst = new Burst(limits)
  return (columns) => matcherOver(columns, new FilterIndex(columns, limits, burst, zones, membership))
}

const matcherOver = (columns: Parameters<MakeMatcher>[0], index: FilterIndex): Matcher => {
  return {
    add: (id, clause) => {
      if (clause === undefined) {
        index.add(id, undefined)
        return true
      }
      try {
        index.add(id, makeRunnable(clause, columns))
        return true
      } catch (error) {
        if (error instanceof ClauseOutdated) return false
        throw error
      }
    },
    remove: (id) => index.remove(id),
    match: (row, out) => index.match(row, out),
    takesAll: () => index.matchesAll
  }
}
