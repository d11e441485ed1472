import type { Form, LoopForm, LoopReach, LoopTable } from "../evaluate/Form.ts"
import {
  type Call,
  type Column,
  type Constant,
  type Equality,
  type Expression,
  type NestedLoop,
  type Subselect
} from "../expression/Expression.ts"
import { columnsIn, fromInside, mapColumns, reachesOut } from "../expression/References.ts"
import { booleanType } from "../resolve/Boolean.ts"
import { refuseAt } from "../WhereError.ts"
import { callOf } from "./AsLoop.ts"
import { type Key, keyOfValue } from "./Keys.ts"
import { isEquality, type LookUp, LookUps, sourcesOf, tablesOf } from "./LookUps.ts"
import type { Lowers } from "./Lowers.ts"
import { lowerSubselect } from "./LowerSubselect.ts"

/** `booleq`. Fixed in every version of Postgres. */
const equalBooleans: Equality = {
  operator: { schema: "pg_catalog", name: "=" },
  function: 60,
  inputCollation: 0
}

const isTrue: Omit<Constant, "at"> = {
  ...booleanType,
  kind: "constant",
  value: "t",
  parameter: undefined
}

/** What a loop is lowered from. */
interface Question {
  readonly loop: NestedLoop
  readonly conditions: ReadonlyArray<Expression>
  readonly implied: ReadonlyArray<Call>
  /** Conditions on the row around it alone, which are none of Postgres' own: rows of which they are not true need not be looked at. */
  readonly guards: ReadonlyArray<Expression>
}

/**
 * `IN` is true if there is a row with equal values. Else it is NULL if there is one that could have them if it were not for a NULL on one side
 * or the other. `ifTrue`: NULL need not be told from false. Source: PostgreSQL documentation, "Subquery Expressions".
 */
export const lowerLoop = (around: Lowers, loop: NestedLoop, ifTrue: boolean): Form => {
  const { at, conditions, implied, selected } = loop
  if (loop.how !== "any") return lowerOne(around, { loop, conditions, implied, guards: [] })
  const pairs = selected.flatMap(({ equality, probe, value }) =>
    probe === undefined || equality === undefined ? [] : [{ probe: fromInside(probe), value, equality }]
  )
  const equal = pairs.map(({ equality, probe, value }) =>
    callOf(around.catalogue, equality, probe, value, at)
  )
  const found = lowerOne(around, {
    loop,
    conditions: [...conditions, ...equal],
    implied: loop.impliedByProbes,
    guards: []
  })
  if (ifTrue) return found
  if (pairs.length > mostAsked)
    return orNull(found, [
      lowerOne(around, { loop, conditions: [...conditions, ...equal.map(isNotFalse)], implied, guards: [] })
    ])
  const open = pairs.flatMap(({ probe, value }, i) => {
    const others = equal.filter((_, j) => j !== i).map(isNotFalse)
    const ask = (more: ReadonlyArray<Expression>, guards: ReadonlyArray<Expression>): Form =>
      lowerOne(around, { loop, conditions: [...conditions, ...others, ...more], implied, guards })
    return [ask([isNull(value)], []), ask([], [isNull(probe)])]
  })
  return orNull(found, open)
}

/** Values that it is asked for one by one whether it is they that are NULL. */
const mostAsked = 3

const orNull = (found: Form, open: ReadonlyArray<Form>): Form => ({
  or: [found, { and: [{ b: null }, { or: open }] }]
})

const isNull = (arg: Expression): Expression => ({
  ...booleanType,
  kind: "nullTest",
  arg,
  negated: false,
  at: arg.at
})

const isNotFalse = (arg: Expression): Expression => ({
  ...booleanType,
  kind: "booleanTest",
  arg,
  test: "FALSE",
  negated: true,
  at: arg.at
})

/** About rows of one table alone. */
const isLocal = (expression: Expression): boolean =>
  !reachesOut(expression) && sourcesOf(expression).length === 1

const hasConstant = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  (("kind" in value && value.kind === "constant") || Object.values(value).some(hasConstant))

const own = (expression: Expression): Expression =>
  mapColumns(expression, (column) => {
    const only = { ...column }
    delete only.source
    return only
  })

/** Of all loops of a clause: one that asks for NULL as well is several. */
const mostTables = 300

const lowerOne = (around: Lowers, question: Question): Form => {
  around.loopsMade.count += question.loop.tables.length
  if (around.loopsMade.count > mostTables)
    return refuseAt(
      question.loop.at,
      "too many sub-selects that cannot be taken apart by equalities: use some of them in a clause of its own"
    )
  const lowering = new LoopLowering(around, question)
  around.loops.push(lowering.rows)
  try {
    const gate = lowering.gate()
    const loop = lowering.lower()
    return gate === undefined ? loop : { and: [gate, loop] }
  } finally {
    around.loops.pop()
  }
}

class LoopLowering {
  private readonly around: Lowers
  private readonly question: Question
  /** Those that are checked while the rows are gone through. */
  private readonly rest: Array<Expression>
  private readonly equalities: ReadonlyArray<Call>
  private readonly columns: ReadonlyArray<ReadonlyArray<Column>>
  private readonly from: ReadonlyArray<number>
  private readonly bound = new Map<number, Bound>()
  private lookUps: LookUps | undefined

  constructor(around: Lowers, question: Question) {
    const { conditions, guards, implied, loop } = question
    this.around = around
    this.question = question
    this.rest = conditions.filter((one) => !isLocal(one))
    this.equalities = [...this.rest.filter(isEquality), ...implied]
    const read = [...this.rest, ...implied, ...guards, ...loop.selected.map(({ value }) => value)]
    const columns = read.flatMap(columnsIn).filter(({ up = 0 }) => up === 0)
    this.columns = loop.tables.map((_, table) => [
      ...new Map(columns.filter(({ source = 0 }) => source === table).map((one) => [one.name, one])).values()
    ])
    this.from = this.columns.map((of) => {
      const first = around.loopValues.count
      around.loopValues.count += of.length
      return first
    })
  }

  readonly rows = (source: number, name: string): number =>
    (this.from[source] ?? 0) + (this.columns[source] ?? []).findIndex((column) => column.name === name)

  /**
   * A sub-select of one table that must have a row if there is any: by it an index finds those of many clauses that differ in the constants of
   * the conditions on that table.
   */
  gate(): Form | undefined {
    const { conditions, loop } = this.question
    if (loop.how === "value" || this.around.loops.length > 1) return undefined
    for (const table of loop.tables.keys()) {
      const lookUps = this.lookUpsOf(table).filter(({ isOfRow }) => isOfRow)
      const differs = conditions.some(
        (one) => isLocal(one) && sourcesOf(one)[0] === table && hasConstant(one)
      )
      if (lookUps.length === 0 || !differs) continue
      const read = this.read(table, lookUps)
      const group = read.group.slice(0, lookUps.length)
      const { query } = read
      return lowerSubselect(this.around, {
        ...read,
        how: "exists",
        group,
        query: {
          ...query,
          group: query.group.slice(0, group.length),
          equalities: query.equalities.slice(0, group.length),
          select: [],
          distinct: false
        }
      })
    }
    return undefined
  }

  lower(): LoopForm {
    const { loop, guards } = this.question
    const first = this.due(guards)
    const tables: Array<LoopTable> = []
    while (this.bound.size < loop.tables.length) tables.push(this.table(this.next()))
    const [value] = loop.selected
    if (loop.how !== "value" || value === undefined) return { loop: "exists", first, tables }
    const key = keyOfValue(this.around.catalogue, value.value)
    if (loop.distinct && key === undefined)
      return refuseAt(
        value.value.at,
        "SELECT DISTINCT of values that cannot be compared: leave DISTINCT away"
      )
    return {
      loop: "value",
      first,
      tables,
      give: this.around.value(value.value),
      ...(key === undefined ? {} : { key }),
      ...(loop.distinct ? { once: true } : {})
    }
  }

  /** The conditions that can be checked now, and could not before. */
  private due(more: ReadonlyArray<Expression> = []): Form {
    const now = this.rest.filter((one) => sourcesOf(one).every((source) => this.bound.has(source)))
    for (const one of now) this.rest.splice(this.rest.indexOf(one), 1)
    const [only, ...others] = [...more, ...now]
    if (only === undefined) return { b: true }
    const all: Expression = { kind: "and", args: [only, ...others], ...booleanType, at: only.at }
    return this.around.condition(others.length === 0 ? only : all, true)
  }

  /** The table that most is known of: by the row around first. */
  private next(): number {
    let best = { table: -1, known: -1, found: -1 }
    for (const table of this.question.loop.tables.keys()) {
      if (this.bound.has(table)) continue
      const found = this.lookUpsOf(table)
      const known = found.filter(({ isOfRow }) => isOfRow).length
      if (known > best.known || (known === best.known && found.length > best.found))
        best = { table, known, found: found.length }
    }
    return best.table
  }

  private lookUpsOf(table: number): ReadonlyArray<LookUp> {
    // Made once it is known how many loops there are around.
    this.lookUps ??= new LookUps(this.around, this.equalities)
    return this.lookUps.of(table, (one) => this.bound.has(one))
  }

  private table(table: number): LoopTable {
    const { at } = this.question.loop
    const lookUps = this.lookUpsOf(table)
    for (const { of } of lookUps) {
      const place = this.rest.indexOf(of)
      if (place >= 0) this.rest.splice(place, 1)
    }
    const read = this.read(table, lookUps)
    const rows = lowerSubselect(this.around, read)
    if (rows === undefined) return refuseAt(at, "rows of a sub-select cannot be looked up")
    const reach = this.reach(lookUps)
    this.bound.set(table, { number: this.bound.size, read, keys: rows.sub.keys.slice(0, rows.group.length) })
    const when = this.due()
    return { rows, from: this.from[table] ?? 0, when, ...(reach === undefined ? {} : { reach }) }
  }

  /** The rows of a table for which the conditions on it alone hold. */
  private read(table: number, lookUps: ReadonlyArray<LookUp>): Subselect {
    const { conditions, guards, loop } = this.question
    const { at } = loop
    const read = loop.tables[table]
    if (read === undefined) return refuseAt(at, "a sub-select without a table")
    const local = conditions.filter((one) => isLocal(one) && sourcesOf(one)[0] === table).map(own)
    return {
      ...booleanType,
      kind: "subselect",
      how: "rows",
      group: [...lookUps.map(({ outer }) => outer), ...guards],
      probe: [],
      query: {
        ...read,
        condition: local.length < 2 ? local[0] : { ...booleanType, kind: "and", args: local, at },
        group: [
          ...lookUps.map(({ inner }) => own(inner)),
          ...guards.map((): Constant => ({ ...isTrue, at }))
        ],
        select: (this.columns[table] ?? []).map(own),
        equalities: [...lookUps.map(({ equality }) => equality), ...guards.map(() => equalBooleans)],
        distinct: loop.how !== "value" || loop.distinct
      },
      at
    }
  }

  /** By way of which table before rows that are looked up by these are reached, if none of them follows from the row around. */
  private reach(lookUps: ReadonlyArray<LookUp>): LoopReach | undefined {
    if (this.question.guards.length > 0 || lookUps.some(({ isOfRow }) => isOfRow)) return undefined
    const table = lookUps.map(({ outer }) => tablesOf(outer)).find((sources) => sources.length === 1)?.[0]
    const before = table === undefined ? undefined : this.bound.get(table)
    if (before === undefined) return undefined
    const parts = [...lookUps.entries()].filter(([, { outer }]) => {
      const [only, ...others] = tablesOf(outer)
      return only === table && others.length === 0
    })
    const by = lowerSubselect(
      this.around,
      {
        ...before.read,
        group: parts.map(([, { inner }]) => inner),
        query: {
          ...before.read.query,
          group: parts.map(([, { outer }]) => own(outer)),
          equalities: parts.map(([, { equality }]) => equality),
          select: before.read.query.group,
          distinct: true
        }
      },
      before.keys
    )
    return by === undefined ? undefined : { table: before.number, parts: parts.map(([i]) => i), by }
  }
}

/** A table whose rows are known where those of the next ones are looked up. */
interface Bound {
  readonly number: number
  readonly read: Subselect
  /** How the values are identified by which it is looked up. */
  readonly keys: ReadonlyArray<Key>
}
