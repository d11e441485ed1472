import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form, SubselectForm, SubselectMoves } from "../evaluate/Form.ts"
import { subselectsOf } from "../evaluate/SubselectsOf.ts"
import type { Expression, Subselect } from "../expression/Expression.ts"
import { printExpression } from "../print/PrintExpression.ts"
import { builtinTypeName, typeName } from "../print/PrintTypeName.ts"
import { canRaise } from "../resolve/CanRaise.ts"

/** For each sub-select of a condition, in the order of `subselectsOf`. `made`: what each of them was made of. */
export const movesOf = (
  catalogue: TypeCatalogue,
  root: Form,
  made: ReadonlyMap<SubselectForm, Subselect>
): ReadonlyArray<SubselectMoves> => {
  const print = (one: Expression): string | null =>
    canRaise(catalogue, one, none) ? null : printExpression(catalogue, one)
  return subselectsOf(root).map((form) => {
    const from = made.get(form)
    if (from === undefined) throw new Error("A sub-select that nothing was lowered to")
    return {
      group: from.group.map(print),
      probe: from.probe.map(print),
      types: [...from.group, ...from.probe].map((one, i) => {
        // An integer of one size is compared with one of another.
        const type = form.sub.keys[i]?.type
        return typeof type === "string" ? builtinTypeName(catalogue, type) : typeName(catalogue, one.type, -1)
      })
    }
  })
}

const none: ReadonlySet<string> = new Set()
