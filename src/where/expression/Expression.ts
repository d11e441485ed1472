/**
 * A typed expression: what Postgres would make of the clause after name and type resolution. Immutable.
 * OIDs refer to the catalogue the clause was compiled with.
 */
export interface Typed {
  readonly type: number
  /** `-1` when the type has no modifier. */
  readonly typmod: number
  /** OID of the collation of the value, 0 when its type has none. */
  readonly collation: number
  readonly strength: CollationStrength
  /** Character position in the clause, zero-based. */
  readonly at: number
}

/** How a collation was arrived at: PostgreSQL documentation, "Collation Support". */
export type CollationStrength = "none" | "implicit" | "conflict" | "explicit"

export interface Constant extends Typed {
  readonly kind: "constant"
  /** Text form, `null` for NULL. Of type `unknown` until its context gives it a type. */
  readonly value: string | null
  /** The parameter this constant stands for. */
  readonly parameter: number | undefined
}

export interface Column extends Typed {
  readonly kind: "column"
  readonly name: string
  /**
   * How many sub-selects further out its table stands, and which one it is of those that the sub-select there joins. Left out
   * for the table that the expression is about; no others are left once a sub-select is resolved.
   */
  readonly up?: number
  readonly source?: number
}

export interface OperatorName {
  readonly schema: string
  readonly name: string
}

export interface Call extends Typed {
  readonly kind: "call"
  readonly function: number
  readonly args: ReadonlyArray<Expression>
  /** Set when the call was written as an operator. */
  readonly operator: OperatorName | undefined
  /** The last argument is passed as the VARIADIC array itself. */
  readonly variadicArray: boolean
  /** Names the arguments were given with (`f(a => 1)`), one per argument, empty where none. */
  readonly names: ReadonlyArray<string> | undefined
  readonly inputCollation: number
}

/** `left op ANY (right)`, `left op ALL (right)`. */
interface ArrayOperation extends Typed {
  readonly kind: "arrayOperation"
  readonly any: boolean
  readonly operator: OperatorName
  readonly function: number
  readonly left: Expression
  readonly right: Expression
  readonly inputCollation: number
}

interface Logic extends Typed {
  readonly kind: "and" | "or"
  readonly args: ReadonlyArray<Expression>
}

interface Not extends Typed {
  readonly kind: "not"
  readonly arg: Expression
}

interface NullTest extends Typed {
  readonly kind: "nullTest"
  readonly arg: Expression
  readonly negated: boolean
}

interface BooleanTest extends Typed {
  readonly kind: "booleanTest"
  readonly arg: Expression
  readonly test: "TRUE" | "FALSE" | "UNKNOWN"
  readonly negated: boolean
}

interface Case extends Typed {
  readonly kind: "case"
  readonly whens: ReadonlyArray<{ readonly condition: Expression; readonly result: Expression }>
  readonly otherwise: Expression
}

interface Coalesce extends Typed {
  readonly kind: "coalesce"
  readonly args: ReadonlyArray<Expression>
}

interface MinMax extends Typed {
  readonly kind: "minmax"
  readonly greatest: boolean
  readonly args: ReadonlyArray<Expression>
  readonly inputCollation: number
}

/** `NULLIF` and `IS [NOT] DISTINCT FROM`: equality by an operator, with NULLs seen to. */
interface Comparison extends Typed {
  readonly kind: "nullif" | "distinct"
  readonly negated: boolean
  readonly left: Expression
  readonly right: Expression
  readonly operator: OperatorName
  readonly function: number
  readonly inputCollation: number
}

interface ArrayConstructor extends Typed {
  readonly kind: "array"
  readonly elements: ReadonlyArray<Expression>
  /** The elements are arrays themselves. */
  readonly nested: boolean
}

export interface Row extends Typed {
  readonly kind: "row"
  readonly args: ReadonlyArray<Expression>
}

/** `(a, b) < (c, d)`: pairs are compared from left to right. */
export interface RowComparison extends Typed {
  readonly kind: "rowComparison"
  readonly operator: "<" | "<=" | ">" | ">="
  readonly pairs: ReadonlyArray<{
    readonly left: Expression
    readonly right: Expression
    readonly inputCollation: number
  }>
}

interface Subscript extends Typed {
  readonly kind: "subscript"
  readonly container: Expression
  readonly slice: boolean
  readonly indexes: ReadonlyArray<{
    readonly lower: Expression | undefined
    readonly upper: Expression | undefined
    /** Written with a colon. */
    readonly isSlice: boolean
  }>
}

interface Field extends Typed {
  readonly kind: "field"
  readonly record: Expression
  readonly name: string
  readonly index: number
}

/** One step of a cast, in the order they are carried out. */
export type CastStep =
  | { readonly kind: "relabel" }
  | { readonly kind: "io"; readonly from: number; readonly to: number }
  | {
      readonly kind: "function"
      readonly function: number
      readonly typmod: number
      readonly explicit: boolean
    }
  | {
      readonly kind: "array"
      readonly from: number
      readonly to: number
      readonly steps: ReadonlyArray<CastStep>
    }
  /** A domain with constraints checks the value. */
  | { readonly kind: "check" }

interface Cast extends Typed {
  readonly kind: "cast"
  readonly arg: Expression
  readonly steps: ReadonlyArray<CastStep>
  readonly explicit: boolean
}

interface Collate extends Typed {
  readonly kind: "collate"
  readonly arg: Expression
}

/** An equality between two values that have been brought to types that it takes. */
export interface Equality {
  readonly operator: OperatorName
  readonly function: number
  readonly inputCollation: number
}

/**
 * A sub-select, taken apart: `group` and `probe` are about the row around it, what `query` holds is about rows of its own table.
 * `any`: the values of `probe` are among those selected; `exists`: there are some; `value`: the only one; `rows`: all of them,
 * for a nested loop.
 */
export interface Subselect extends Typed {
  readonly kind: "subselect"
  readonly how: "any" | "exists" | "value" | "rows"
  readonly group: ReadonlyArray<Expression>
  readonly probe: ReadonlyArray<Expression>
  readonly query: Subquery
}

/**
 * A sub-select that cannot be taken apart like that: the rows of its tables are gone through as it is written. Columns in
 * `conditions`, `implied` and `selected` are seen from inside: `up` is 0 for those of its own tables, 1 for the row around it. Probes are
 * seen from outside.
 */
export interface NestedLoop extends Typed {
  readonly kind: "nestedLoop"
  readonly how: "any" | "exists" | "value"
  readonly tables: ReadonlyArray<Pick<Subquery, "table" | "only">>
  /** Joined by AND. */
  readonly conditions: ReadonlyArray<Expression>
  /** Equalities that follow from those of `conditions`, and those that do once each probe is equal to what is selected. */
  readonly implied: ReadonlyArray<Call>
  readonly impliedByProbes: ReadonlyArray<Call>
  readonly selected: ReadonlyArray<Selected>
  /** Equal rows are one; only of `value`. */
  readonly distinct: boolean
}

/** A value that is selected, and what it is compared with where the sub-select stands on the right of IN. */
export interface Selected {
  readonly value: Expression
  readonly probe?: Expression
  readonly equality?: Equality
}

export interface Subquery {
  readonly table: { readonly oid: number; readonly schema: string; readonly name: string }
  /** Rows of tables that inherit from it are none of its own. */
  readonly only: boolean
  /** Without the equalities with the row around it. */
  readonly condition: Expression | undefined
  /** The other side of the equalities with `group` of the sub-select. */
  readonly group: ReadonlyArray<Expression>
  /** What is selected; empty for `exists`. */
  readonly select: ReadonlyArray<Expression>
  /** For each of `group`, and each of `probe`. */
  readonly equalities: ReadonlyArray<Equality>
  /** Equal rows are one; only of `value`, where that matters. */
  readonly distinct: boolean
}

export type Expression =
  | Constant
  | Column
  | Call
  | ArrayOperation
  | Logic
  | Not
  | NullTest
  | BooleanTest
  | Case
  | Coalesce
  | MinMax
  | Comparison
  | ArrayConstructor
  | Row
  | RowComparison
  | Subscript
  | Field
  | Cast
  | Collate
  | Subselect
  | NestedLoop

/** OIDs of types that resolution treats specially; fixed in every version of Postgres. */
export const oids = {
  bool: 16,
  bytea: 17,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  json: 114,
  jsonb: 3802,
  float4: 700,
  float8: 701,
  unknown: 705,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  varbit: 1562,
  numeric: 1700,
  record: 2249,
  any: 2276,
  anyarray: 2277,
  anyelement: 2283,
  anynonarray: 2776,
  anyenum: 3500,
  anyrange: 3831,
  anymultirange: 4537,
  anycompatiblemultirange: 4538,
  anycompatible: 5077,
  anycompatiblearray: 5078,
  anycompatiblenonarray: 5079,
  anycompatiblerange: 5080
} as const

export const defaultCollationOid = 100
export const cCollationOid = 950
