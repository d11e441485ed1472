import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { type Form, partsOf, type SubselectForm, type SubselectMoves } from "../evaluate/Form.ts"
import { subselectsOf } from "../evaluate/SubselectsOf.ts"
import type { Subselect } from "../expression/Expression.ts"
import { printExpression } from "../print/PrintExpression.ts"
import { typeName } from "../print/PrintTypeName.ts"

/** For each sub-select of a condition, in the order of `subselectsOf`. `made`: what each of them was made of. */
export const movesOf = (
  catalogue: TypeCatalogue,
  root: Form,
  made: ReadonlyMap<SubselectForm, Subselect>
): ReadonlyArray<SubselectMoves> => {
  const found = subselectsOf(root)
  if (found.length === 0) return []
  const nullable = new Set<Form>()
  noteNullable(root, true, nullable)
  const necessary = new Set<Form>(requirementsOf(root))
  const print = (one: Subselect["group"][number]): string => printExpression(catalogue, one)
  return found.map((form) => {
    const from = made.get(form)
    if (from === undefined) throw new Error("A sub-select that nothing was lowered to")
    return {
      group: from.group.map(print),
      probe: from.probe.map(print),
      inner: { group: from.query.group.map(print), select: from.query.select.map(print) },
      types: [...from.group, ...from.probe].map(({ type }) => typeName(catalogue, type, -1)),
      nullable: form.how === "value" || (form.how === "any" && nullable.has(form)),
      necessary: form.how !== "value" && necessary.has(form)
    }
  })
}

/** Forms that have to be true for a condition to be. */
const requirementsOf = (root: Form): ReadonlyArray<Form> => {
  if ("and" in root) return root.and.flatMap(requirementsOf)
  if ("is" in root && root.is === "TRUE" && !root.not) return requirementsOf(root.a)
  return [root]
}

/** Notes what must not be NULL instead of false. `onlyTrue`: of the form's own value nobody asks more than whether it is true. */
const noteNullable = (form: Form, onlyTrue: boolean, into: Set<Form>): void => {
  if (!onlyTrue) into.add(form)
  if ("and" in form) for (const part of form.and) noteNullable(part, onlyTrue, into)
  else if ("or" in form) for (const part of form.or) noteNullable(part, onlyTrue, into)
  else if ("is" in form) noteNullable(form.a, form.is === "TRUE", into)
  else if ("case" in form) {
    for (const [condition, result] of form.case) {
      noteNullable(condition, true, into)
      noteNullable(result, onlyTrue, into)
    }
    noteNullable(form.else, onlyTrue, into)
  } else for (const part of partsOf(form)) noteNullable(part, false, into)
}
