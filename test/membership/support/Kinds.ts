import type { Form, SubselectForm, SubselectPlan } from "../../../src/where/index.ts"
import { subselectKind, type SubselectKind } from "../../../src/where/index.ts"

/** Columns of every table here: a number and others, all of which may be NULL. */
export const columns = ["a", "b", "c", "d"].map((name) => ({ name, typeOid: 23 }))

export const column = (i: number): Form => ({ c: i })
export const constant = (k: number): Form => ({ k })
export const equal = (l: Form, r: Form): Form => ({ f: "int4eq", a: [l, r] })

export interface PlanParts {
  readonly table: number
  readonly root: Form
  /** Of the constants of `root`. */
  readonly constants: ReadonlyArray<"int4" | "text">
  readonly group: ReadonlyArray<Form>
  readonly select: ReadonlyArray<Form>
  readonly distinct?: true
}

export const planWith = ({ constants, distinct, group, root, select, table }: PlanParts): SubselectPlan => ({
  table: { oid: table, schema: "public", name: `t${table}` },
  plan: {
    columns: columns.map((one) => ({ ...one, type: "int4" as const })),
    constants,
    root
  },
  group,
  select,
  keys: [...group, ...select].map(() => ({ type: "int4" as const, collation: "c" as const })),
  ...(distinct === undefined ? {} : { distinct })
})

export const kindWith = (parts: PlanParts): SubselectKind => subselectKind(planWith(parts))

export const subselectIn = (
  parts: PlanParts,
  asked: Pick<SubselectForm, "group" | "how" | "probe" | "slot">
): SubselectForm => ({ sub: planWith(parts), ...asked })
