/**
 * A type as the evaluator needs it, in a form that is stored with a clause: the name of a built-in type, or a
 * description of a type that is made of others. `foreign` types are Postgres' own: only NULL tests work on them.
 */
export type TypeSpec =
  | ScalarName
  | { readonly array: TypeSpec; readonly delimiter?: string }
  | { readonly enum: ReadonlyArray<string> }
  | { readonly range: TypeSpec; readonly discrete: boolean }
  | { readonly fields: ReadonlyArray<TypeSpec> }
  | { readonly foreign: string }

/** Built-in types whose values are understood here. */
export const scalarNames = [
  "bool",
  "int2",
  "int4",
  "int8",
  "oid",
  "float4",
  "float8",
  "numeric",
  "text",
  "varchar",
  "bpchar",
  "name",
  "bytea",
  "uuid",
  "date",
  "time",
  "timetz",
  "timestamp",
  "timestamptz",
  "interval",
  "json",
  "jsonb",
  "inet",
  "cidr"
] as const

export type ScalarName = (typeof scalarNames)[number]

const scalars: ReadonlySet<string> = new Set(scalarNames)

export const isScalarName = (name: string): name is ScalarName => scalars.has(name)

export const isForeign = (spec: TypeSpec): boolean => {
  if (typeof spec === "string") return false
  if ("foreign" in spec) return true
  if ("array" in spec) return isForeign(spec.array)
  if ("range" in spec) return isForeign(spec.range)
  if ("fields" in spec) return spec.fields.some(isForeign)
  return false
}
