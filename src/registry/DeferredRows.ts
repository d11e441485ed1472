import { Effect } from "effect"
import type { Relation } from "../postgres/Relation.ts"
import { makeTuple, type Tuple } from "../postgres/Tuple.ts"
import type { MatchList } from "../where/index.ts"
import { IdList } from "./Matcher.ts"

/** A change some of whose shapes only Postgres can tell, kept until its transaction ends. */
export interface DeferredRow {
  readonly relation: Relation
  readonly tableOid: number
  readonly op: number
  /** Shapes to ask about, for the old and for the new row. */
  readonly askBefore: ReadonlyArray<number>
  readonly askAfter: ReadonlyArray<number>
  /** Of these shapes: those that were found to have the old, or the new row without asking. */
  readonly knownBefore: ReadonlyArray<number>
  readonly knownAfter: ReadonlyArray<number>
  readonly oldRow: Tuple | undefined
  readonly row: Tuple | undefined
  /** Filled in by the verdict: shapes that the old and the new row belong to. */
  readonly before: IdList
  readonly after: IdList
  /** Shapes whose condition Postgres cannot evaluate for the row either. */
  readonly failed: Array<{ readonly shapeId: number; readonly message: string }>
}

/** Asks Postgres about rows of one relation and fills in `before` and `after` of each. */
export type Decide = (relation: Relation, rows: ReadonlyArray<DeferredRow>) => Effect.Effect<void>

export interface DeferredRows {
  readonly add: (row: Omit<DeferredRow, "before" | "after" | "failed">) => void
  /** Has all rows decided, relation by relation in one batch each, and emits them in stream order. */
  readonly resolve: (decide: Decide, emit: (row: DeferredRow) => void) => Effect.Effect<void>
}

const listOf = (ids: ReadonlyArray<number>): IdList => {
  const list = new IdList()
  for (const id of ids) list.push(id)
  return list
}

const copyOf = (tuple: Tuple | undefined): Tuple | undefined => {
  if (tuple === undefined) return undefined
  const copy = makeTuple(Math.max(1, tuple.columnCount))
  copy.columnCount = tuple.columnCount
  const parts: Array<Buffer> = []
  let at = 0
  for (let i = 0; i < tuple.columnCount; i++) {
    const length = tuple.lengths[i] ?? -1
    copy.lengths[i] = length
    copy.starts[i] = at
    if (length <= 0) continue
    const start = tuple.starts[i] ?? 0
    parts.push(tuple.buffer.subarray(start, start + length))
    at += length
  }
  copy.buffer = Buffer.concat(parts)
  return copy
}

export const makeDeferredRows = (): DeferredRows => {
  const rows: Array<DeferredRow> = []
  return {
    add: (row) => {
      rows.push({
        ...row,
        oldRow: copyOf(row.oldRow),
        row: copyOf(row.row),
        before: listOf(row.knownBefore),
        after: listOf(row.knownAfter),
        failed: []
      })
    },
    resolve: (decide, emit) =>
      Effect.gen(function* () {
        const byRelation = new Map<Relation, Array<DeferredRow>>()
        for (const row of rows) {
          const group = byRelation.get(row.relation)
          if (group === undefined) byRelation.set(row.relation, [row])
          else group.push(row)
        }
        for (const [relation, group] of byRelation) yield* decide(relation, group)
        for (const row of rows) emit(row)
      })
  }
}

/** Takes those of `ids` out of the matches, and returns them. */
export const takeKnown = (
  matches: MatchList | undefined,
  ids: ReadonlySet<number>
): ReadonlyArray<number> => {
  if (matches === undefined) return []
  const taken: Array<number> = []
  let kept = 0
  for (let i = 0; i < matches.count; i++) {
    const id = matches.ids[i] as number
    if (ids.has(id)) taken.push(id)
    else matches.ids[kept++] = id
  }
  matches.count = kept
  return taken
}
