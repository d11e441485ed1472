import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form, FormColumn, SubselectForm } from "../evaluate/Form.ts"
import type { Expression, Subselect } from "../expression/Expression.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"

/** What lowers expressions about rows of one table. */
export interface Lowers {
  readonly catalogue: TypeCatalogue
  readonly columns: ReadonlyArray<FormColumn>
  readonly constants: Array<string>
  readonly types: Array<TypeSpec>
  readonly soft: Set<number>
  readonly reasons: Array<string>
  /** What each of the sub-selects was made of. */
  readonly subselects: Map<SubselectForm, MadeOf>
  /** The loops around what is being lowered, the innermost last. */
  readonly loops: Array<LoopRows>
  /** Numbers that values of rows of loops have so far. */
  readonly loopValues: { count: number }
  /** `ifTrue`: it need not tell NULL from false. */
  readonly condition: (expression: Expression, ifTrue?: boolean) => Form
  readonly value: (expression: Expression) => Form
  readonly slot: (value: string, spec: TypeSpec) => Form
  /** How many there are in the whole clause so far. */
  readonly loopsMade: { count: number }
  /** How many sub-selects it is inside of. */
  readonly level: number
  /** For what is about rows of the table of a sub-select. */
  readonly inside: () => Lowers
}

/** A sub-select, and how many loops there are around it. */
export interface MadeOf {
  readonly subselect: Subselect
  readonly loops: number
}

/** Number of the value of a column of a table of a loop. */
export type LoopRows = (source: number, name: string) => number
