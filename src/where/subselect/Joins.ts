import {
  oids,
  type Equality,
  type Expression,
  type Selected,
  type Subquery,
  type Subselect
} from "../expression/Expression.ts"
import { booleanType } from "../resolve/Boolean.ts"
import { operatorCall } from "../resolve/Calls.ts"
import type { Scope } from "../resolve/Scope.ts"
import { refuseAt } from "../WhereError.ts"
import { aroundIt, Classes, textOf, type Term } from "./Classes.ts"
import { type JoinTree, joinTree } from "./JoinTree.ts"
import { allOf, equalityOf, type Correlation, typeOf, type Written } from "./Parts.ts"
import { columnsIn, hasSubselect, mapColumns } from "../expression/References.ts"

interface Joined {
  readonly made: Expression
  readonly around: ReadonlyArray<Expression>
}

/**
 * A sub-select over several tables as one over the one whose columns are selected, whose rows must have a partner in a table that
 * they have values in common with, and so on. `around`: what must hold besides, of the row around it. `undefined` where the
 * tables cannot be put one inside the other, or it matters how often a row is there.
 */
export const joinedQuery = (
  written: Written,
  local: ReadonlyArray<Expression>,
  correlated: ReadonlyArray<Correlation>
): Joined | undefined => {
  if (written.how === "value" && !written.distinct) return undefined
  const joins = new Joins(written)
  const fits =
    correlated.every((correlation) => joins.tie(correlation)) &&
    local.every((condition) => joins.add(condition))
  return fits ? joins.query() : undefined
}

const tablesOf = (expression: Expression): ReadonlyArray<number> => [
  ...new Set(columnsIn(expression).map(({ source = 0 }) => source))
]

/** As seen from its own table alone. */
const own = (expression: Expression): Expression =>
  mapColumns(expression, (column) => {
    const only = { ...column }
    delete only.source
    return only
  })

/** The row around the sub-select may be one of several tables itself. */
const alone = ({ expression, table }: Term): Expression => (table === aroundIt ? expression : own(expression))

class Joins {
  private readonly written: Written
  private readonly scope: Scope
  private readonly classes = new Classes()
  /** Per table. */
  private readonly conditions: ReadonlyArray<Array<Expression>>
  /** About no table. */
  private readonly fixed: Array<Expression> = []

  constructor(written: Written) {
    this.written = written
    this.scope = written.scope
    this.conditions = written.scope.sources.map(() => [])
  }

  /** False where it is about several tables, as for `add`. */
  tie({ inner, outer }: Correlation): boolean {
    const [table, other] = tablesOf(inner)
    if (table === undefined || other !== undefined) return false
    this.classes.unite({ table: aroundIt, expression: outer }, { table, expression: inner })
    return true
  }

  /** False where it is about several tables and no equality between two of them. */
  add(condition: Expression): boolean {
    const [table, other, ...more] = tablesOf(condition)
    if (table === undefined) this.fixed.push(condition)
    else if (other === undefined) this.conditions[table]?.push(condition)
    else return more.length === 0 && this.addEquality(condition)
    return true
  }

  private addEquality(condition: Expression): boolean {
    if (condition.kind !== "call" || condition.operator?.name !== "=" || condition.type !== oids.bool)
      return false
    const [a, b] = condition.args
    if (a === undefined || b === undefined || hasSubselect(a) || hasSubselect(b)) return false
    const [left, ...moreLeft] = tablesOf(a)
    const [right, ...moreRight] = tablesOf(b)
    if (left === undefined || right === undefined || moreLeft.length + moreRight.length > 0) return false
    this.classes.unite({ table: left, expression: a }, { table: right, expression: b })
    return true
  }

  query(): Joined | undefined {
    const { how, selected } = this.written
    const classes = this.classes.all()
    const roots = how === "exists" ? [undefined] : [...this.conditions.keys()]
    for (const root of roots) {
      const values = root === undefined ? [] : this.selectedFrom(root, selected, classes)
      const tree = values === undefined ? undefined : joinTree(this.conditions.length, classes, root)
      if (tree === undefined || values === undefined) continue
      const partners = tree.flatMap((from, table) =>
        from === aroundIt && table !== root ? [this.partner(table, tree, classes)] : []
      )
      const [first, ...rest] =
        root === undefined ? partners : [this.build(root, tree, classes, values), ...partners]
      if (first !== undefined)
        return { made: first, around: [...this.fixed, ...this.equalitiesIn(aroundIt, classes), ...rest] }
    }
    return undefined
  }

  /** What is selected, as values of this table. */
  private selectedFrom(
    root: number,
    selected: ReadonlyArray<Selected>,
    classes: ReadonlyArray<ReadonlyArray<Term>>
  ): ReadonlyArray<Selected> | undefined {
    const found: Array<Selected> = []
    for (const one of selected) {
      const tables = tablesOf(one.value)
      if (tables.every((table) => table === root)) {
        found.push(one)
        continue
      }
      const text = textOf(one.value)
      const same = classes.find((terms) =>
        terms.some(({ expression, table }) => table === tables[0] && textOf(expression) === text)
      )
      const other = same?.find(
        ({ expression, table }) =>
          table === root && expression.type === one.value.type && expression.collation === one.value.collation
      )
      if (other === undefined) return undefined
      found.push({ ...one, value: other.expression })
    }
    return found
  }

  /** Values of one row that must be equal to each other. */
  private equalitiesIn(
    table: number,
    classes: ReadonlyArray<ReadonlyArray<Term>>
  ): ReadonlyArray<Expression> {
    return classes.flatMap((terms) => {
      const [first, ...rest] = terms.filter((term) => term.table === table)
      return first === undefined
        ? []
        : rest.map((term) =>
            operatorCall(this.scope, undefined, "=", alone(first), alone(term), term.expression.at)
          )
    })
  }

  private partner(table: number, tree: JoinTree, classes: ReadonlyArray<ReadonlyArray<Term>>): Expression {
    return this.build(table, tree, classes, undefined)
  }

  /** The rows of a table that have a partner in each of those that are looked up from it. */
  private build(
    table: number,
    tree: JoinTree,
    classes: ReadonlyArray<ReadonlyArray<Term>>,
    values: ReadonlyArray<Selected> | undefined
  ): Subselect {
    const { at, distinct, how } = this.written
    const source = this.scope.sources[table]
    if (source === undefined) return refuseAt(at, "a sub-select without a table")
    const parent = tree[table] ?? aroundIt
    const links = classes.flatMap((terms) => this.linkBetween(parent, table, terms))
    const partners = tree.flatMap((from, other) =>
      from === table ? [this.partner(other, tree, classes)] : []
    )
    const conditions = [
      ...(this.conditions[table] ?? []).map(own),
      ...this.equalitiesIn(table, classes),
      ...partners
    ]
    const selected = (values ?? []).map((one) => ({ ...one, value: own(one.value) }))
    const query: Subquery = {
      table: { oid: source.table.oid, schema: source.table.schema, name: source.table.name },
      only: source.table.kind !== "partitioned",
      condition: allOf(conditions, at),
      group: links.map(({ inner }) => inner),
      select: selected.map(({ value }) => value),
      equalities: [
        ...links.map(({ equality }) => equality),
        ...selected.flatMap(({ equality }) => equality ?? [])
      ],
      distinct: values !== undefined && distinct
    }
    return {
      kind: "subselect",
      how: values === undefined ? "exists" : how,
      group: links.map(({ outer }) => outer),
      probe: selected.flatMap(({ probe }) => probe ?? []),
      query,
      ...(values === undefined ? booleanType : typeOf(how, selected)),
      at
    }
  }

  private linkBetween(
    parent: number,
    table: number,
    terms: ReadonlyArray<Term>
  ): ReadonlyArray<{ readonly outer: Expression; readonly inner: Expression; readonly equality: Equality }> {
    const above = terms.find((term) => term.table === parent)
    const below = terms.find((term) => term.table === table)
    if (above === undefined || below === undefined) return []
    const { at } = below.expression
    const call = operatorCall(this.scope, undefined, "=", alone(above), alone(below), at)
    const [outer, inner] = call.args
    return outer === undefined || inner === undefined ? [] : [{ outer, inner, equality: equalityOf(call) }]
  }
}
