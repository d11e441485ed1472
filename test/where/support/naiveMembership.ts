import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import type { Tuple } from "../../../src/postgres/Tuple.ts"
import { isStoredExpression, type Plan, type SubselectForm } from "../../../src/where/evaluate/Form.ts"
import {
  type LinkKey,
  linkKeyOf,
  type Membership,
  type SubselectKind,
  subselectKind,
  useMembership
} from "../../../src/where/evaluate/Membership.ts"
import { evaluate, makeRunnable, type ClauseColumn } from "../../../src/where/evaluate/RunnableClause.ts"
import { keyReaders } from "../../../src/where/evaluate/Subselects.ts"
import { subselectsOf } from "../../../src/where/evaluate/SubselectsOf.ts"
import { EvaluationError } from "../../../src/where/values/Failure.ts"
import type { WhereClause } from "../../../src/where/index.ts"

/** What a sub-select can read. */
export interface NaiveTable {
  readonly info: TableInfo
  readonly columns: ReadonlyArray<ClauseColumn>
  readonly rows: ReadonlyArray<Tuple>
}

interface Given {
  readonly group: LinkKey
  readonly link: LinkKey
  /** Keys of what is selected, `null` for NULL, and the values themselves. */
  readonly keys: ReadonlyArray<unknown>
  readonly values: ReadonlyArray<unknown>
}

/**
 * What the sub-selects of a clause give, found by evaluating their conditions for every row of their tables. It is looked up by
 * running through all of that.
 */
export const naiveMembership = (clause: WhereClause, tables: ReadonlyArray<NaiveTable>): Membership => {
  const known = new Map<string, ReadonlyArray<Given>>()
  const rowsOf = (
    kind: SubselectKind,
    constants: string,
    group: LinkKey,
    isForLoop = false
  ): ReadonlyArray<Given> => {
    const all = known.get(idOf(kind, constants, isForLoop))
    if (all === undefined) throw new Error("a sub-select that nobody has prepared")
    return all.filter((one) => one.group === group || (one.group !== one.group && group !== group)) // oxlint-disable-line no-self-compare -- NaN
  }
  const membership: Membership = {
    any: (kind, constants, group, values) => {
      let verdict: boolean | null = false
      for (const { keys } of rowsOf(kind, constants, group)) {
        const equal = keys.map((key, i) =>
          key === null || values[i] === null ? null : Object.is(key, values[i]) || key === values[i]
        )
        if (equal.every((one) => one === true)) return true
        if (!equal.includes(false)) verdict = null
      }
      return verdict
    },
    exists: (kind, constants, group) => rowsOf(kind, constants, group).length > 0,
    value: (kind, constants, group) => {
      const rows = rowsOf(kind, constants, group)
      const distinct = kind.plan.distinct === true ? new Map(rows.map((row) => [row.keys[0], row])) : rows
      const all = [...distinct.values()]
      if (all.length > 1)
        throw new EvaluationError("more than one row returned by a subquery used as an expression")
      return all[0]?.values[0] ?? null
    },
    rows: (kind, constants, group) =>
      rowsOf(kind, constants, group, true).map(({ values }) => ({ values, count: 1 })),
    having: (kind, link) => {
      const constants: Array<string> = []
      for (const [id, rows] of known) {
        const [list = "", text] = [id.slice(0, id.indexOf("|")), id.slice(id.indexOf("|") + 1)]
        if (text === kind.text && rows.some((row) => row.link !== null && row.link === link))
          constants.push(list)
      }
      return constants
    }
  }
  const prepare = (form: SubselectForm, constants: string): void => {
    const kind = subselectKind(form.sub)
    const { group, plan, select, table } = form.sub
    const inner = tables.find(({ info }) => info.oid === table.oid)
    if (inner === undefined) throw new Error(`no table ${table.name}`)
    const texts = JSON.parse(constants) as ReadonlyArray<string>
    for (const one of subselectsOf(plan.root)) prepare(one, texts[one.slot] ?? "")
    const runnable = makeRunnable(stored(plan, texts), inner.columns)
    const closures = [...group, ...select].map((part) => runnable.compiled.closureOf(part))
    const readers = keyReaders(form)
    const found: Array<Given> = []
    useMembership(membership)
    for (const row of inner.rows) {
      const verdict = evaluate(runnable, row)
      if (verdict.kind === "failed") throw new EvaluationError(verdict.message)
      if (verdict.kind === "undecided") throw new Error(`undecided: ${verdict.reason}`)
      if (verdict.kind !== "true") continue
      const values = closures.map((closure) => closure([]))
      const isKeyed = (i: number) => form.how !== "rows" || i < group.length
      const keys = values.map((value, i) => (value === null || !isKeyed(i) ? null : readers[i]?.(value)))
      const own = linkKeyOf(keys.slice(0, group.length))
      if (own !== null)
        found.push({
          group: own,
          link: linkKeyOf(keys),
          keys: keys.slice(group.length),
          values: values.slice(group.length)
        })
    }
    known.set(idOf(kind, constants, form.how === "rows"), found)
  }
  const { expression } = clause
  if (isStoredExpression(expression))
    for (const form of subselectsOf((JSON.parse(expression.plan) as Plan).root))
      prepare(form, expression.constants[form.slot] ?? "")
  return membership
}

const idOf = (kind: SubselectKind, constants: string, isForLoop: boolean): string =>
  `${constants}|${kind.text}${isForLoop ? "|rows" : ""}`

const stored = (plan: Plan, constants: ReadonlyArray<string>): WhereClause => ({
  sql: "",
  expression: { version: 1, plan: JSON.stringify(plan), constants, columns: [] }
})
