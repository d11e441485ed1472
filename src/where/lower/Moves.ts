import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form, SubselectForm, SubselectMoves } from "../evaluate/Form.ts"
import { subselectsOf } from "../evaluate/SubselectsOf.ts"
import type { Expression } from "../expression/Expression.ts"
import { columnsIn, fromOutside, hasSubselect } from "../expression/References.ts"
import { printExpression } from "../print/PrintExpression.ts"
import { builtinTypeName, typeName } from "../print/PrintTypeName.ts"
import { canRaise } from "../resolve/CanRaise.ts"
import type { MadeOf } from "./Lowers.ts"

/** For each sub-select of a condition, in the order of `subselectsOf`. `made`: what each of them was made of. */
export const movesOf = (
  catalogue: TypeCatalogue,
  root: Form,
  made: ReadonlyMap<SubselectForm, MadeOf>
): ReadonlyArray<SubselectMoves> => {
  /** Only what follows from the row alone. */
  const printIn =
    (loops: number) =>
    (one: Expression): string | null => {
      if (hasSubselect(one) || columnsIn(one).some(({ up = 0 }) => up < loops)) return null
      return canRaise(catalogue, one, none) ? null : printExpression(catalogue, fromOutside(one, loops))
    }
  return subselectsOf(root).map((form) => {
    const found = made.get(form)
    if (found === undefined) throw new Error("A sub-select that nothing was lowered to")
    const from = found.subselect
    const print = printIn(found.loops)
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
