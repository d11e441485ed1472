import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Constant, Expression } from "../expression/Expression.ts"
import { hasSubselect } from "../expression/References.ts"
import { canRaise } from "../resolve/CanRaise.ts"
import { literal, Printer } from "./PrintExpression.ts"
import { typeName } from "./PrintTypeName.ts"

/** No name and no literal of Postgres has it. */
const mark = "\0"

/** Prints places in a list of constants in place of those. */
class TemplatePrinter extends Printer {
  private readonly known: ReadonlyArray<string>
  private next = 0
  readonly more: Array<string> = []

  constructor(catalogue: TypeCatalogue, known: ReadonlyArray<string>) {
    super(catalogue)
    this.known = known
  }

  override constant(constant: Constant): string {
    const { type, typmod, value } = constant
    if (value === null || value === "t" || value === "f") return super.constant(constant)
    return `${mark}${this.placeOf(value)}${mark}::${typeName(this.catalogue, type, typmod)}`
  }

  /** Most constants are in the list already, in the same order: those that were not folded away. */
  private placeOf(value: string): number {
    const found = this.known.indexOf(value, this.next)
    if (found < 0) return this.known.length + this.more.push(value) - 1
    this.next = found + 1
    return found
  }
}

const conjunctsOf = (condition: Expression): ReadonlyArray<Expression> =>
  condition.kind === "and" ? condition.args.flatMap(conjunctsOf) : [condition]

const none: ReadonlySet<string> = new Set()

/**
 * The conditions that a sub-select's condition joins by AND and that cannot fail nor depend on other sub-selects, as the pieces
 * of `SubselectPlan.filter`. `constants`: those of the condition; what it needs besides is returned, and follows them.
 */
export const filterOf = (
  catalogue: TypeCatalogue,
  condition: Expression | undefined,
  constants: ReadonlyArray<string>
):
  | { readonly parts: ReadonlyArray<string | number>; readonly constants: ReadonlyArray<string> }
  | undefined => {
  const conditions = (condition === undefined ? [] : conjunctsOf(condition)).filter(
    (one) => !hasSubselect(one) && !canRaise(catalogue, one, none)
  )
  if (conditions.length === 0) return undefined
  const printer = new TemplatePrinter(catalogue, constants)
  const text = conditions.map((one) => printer.print(one)).join(" AND ")
  const parts = text.split(mark).map((part, i) => (i % 2 === 0 ? part : Number(part)))
  return { parts, constants: printer.more }
}

/** `SubselectPlan.filter` with the constants of one sub-select, as `Membership` has them; `undefined` where there is none. */
export const filterSql = (
  filter: ReadonlyArray<string | number> | undefined,
  constants: string
): string | undefined => {
  if (filter === undefined) return undefined
  const values = JSON.parse(constants) as ReadonlyArray<string>
  return filter.map((part) => (typeof part === "string" ? part : literal(values[part] ?? ""))).join("")
}
