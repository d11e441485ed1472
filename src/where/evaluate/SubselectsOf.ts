import { type Form, partsOf, type SubselectForm } from "./Form.ts"

/**
 * The sub-selects that a condition is made of, in the order in which they appear in it: that of `moves`. Those inside of them
 * are found in the conditions of their plans.
 */
export const subselectsOf = (form: Form): ReadonlyArray<SubselectForm> => {
  const found: Array<SubselectForm> = []
  const visit = (part: Form): void => {
    if ("sub" in part) found.push(part)
    for (const inner of partsOf(part)) visit(inner)
  }
  visit(form)
  return found
}
