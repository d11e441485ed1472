import type { Node, TypeName } from "libpg-query"
import type { TypeCatalogue, TypeEntry } from "../catalogue/TypeCatalogue.ts"
import { refuseAt } from "../WhereError.ts"
import { quoteIfNeeded, type Scope } from "./Scope.ts"

export const stringOf = (node: Node | undefined): string =>
  node !== undefined && "String" in node ? (node.String.sval ?? "") : ""

/** A qualified name of at most two parts. */
export const qualified = (
  names: ReadonlyArray<Node> | undefined
): { readonly schema: string | undefined; readonly name: string } => {
  const parts = (names ?? []).map(stringOf)
  return {
    schema: parts.length > 1 ? parts[parts.length - 2] : undefined,
    name: parts[parts.length - 1] ?? ""
  }
}

const integerOf = (node: Node): number | undefined => {
  if (!("A_Const" in node)) return undefined
  const { ival } = node.A_Const as { readonly ival?: { readonly ival?: number } }
  return ival === undefined ? undefined : (ival.ival ?? 0)
}

/** Modifiers that the grammar of Postgres itself defines; those of extensions are left out. */
const modifier = (entry: TypeEntry, args: ReadonlyArray<number>, at: number): number => {
  const [a, b] = args
  if (a === undefined) return -1
  switch (entry.name) {
    case "varchar":
    case "bpchar":
      if (args.length === 1 && a >= 1 && a <= 10485760) return a + 4
      break
    case "numeric":
      if (args.length <= 2 && a >= 1 && a <= 1000 && (b ?? 0) >= -1000 && (b ?? 0) <= 1000) {
        return ((a << 16) | ((b ?? 0) & 0x7ff)) + 4
      }
      break
    case "time":
    case "timetz":
    case "timestamp":
    case "timestamptz":
      if (args.length === 1 && a >= 0) return Math.min(a, 6)
      break
    case "interval":
      if (args.length === 1) return ((a & 0x7fff) << 16) | 0xffff
      if (args.length === 2 && (b ?? 0) >= 0) return ((a & 0x7fff) << 16) | Math.min(b ?? 0, 6)
      break
    case "bit":
    case "varbit":
      if (args.length === 1 && a >= 1 && a <= 83886080) return a
      break
    default:
  }
  return refuseAt(at, `invalid or unsupported modifier for type ${entry.name}`)
}

/** Types that are names of catalogue objects. Text search configurations are left out: clauses need them. */
const catalogNames: ReadonlySet<string> = new Set([
  "regclass",
  "regcollation",
  "regnamespace",
  "regoper",
  "regoperator",
  "regproc",
  "regprocedure",
  "regrole",
  "regtype"
])

interface NamedType {
  readonly entry: TypeEntry
  readonly typmod: number
}

/** Looks up a type as written in a cast. */
export const resolveTypeName = (scope: Scope, typeName: TypeName, at: number): NamedType => {
  const { schema, name } = qualified(typeName.names)
  if (typeName.setof === true || typeName.pct_type === true) return refuseAt(at, `unsupported type ${name}`)
  const found = lookUp(scope.catalogue, schema, name)
  if (found === undefined) return refuseAt(at, `unsupported type ${quoteIfNeeded(name)}`)
  if (found.schema === "pg_catalog" && catalogNames.has(found.name)) {
    return refuseAt(
      at,
      `unsupported type ${name}: what its values mean depends on the catalogue, not on the row`
    )
  }
  const args = (typeName.typmods ?? []).map(
    (node) => integerOf(node) ?? refuseAt(at, `invalid modifier for type ${name}`)
  )
  const typmod = modifier(found, args, at)
  if ((typeName.arrayBounds ?? []).length === 0) return { entry: found, typmod }
  const array = scope.catalogue.type(found.array)
  return array === undefined ? refuseAt(at, `unsupported type ${name}[]`) : { entry: array, typmod }
}

const lookUp = (
  catalogue: TypeCatalogue,
  schema: string | undefined,
  name: string
): TypeEntry | undefined => {
  const entry = catalogue.typeNamed(schema, name)
  return entry === undefined || entry.kind === "p" ? undefined : entry
}

/** Short name for messages: `int4`, `int4[]`, `enum mood`. */
export const describeType = (catalogue: TypeCatalogue, oid: number): string => {
  const entry = catalogue.type(oid)
  if (entry === undefined) return `type ${oid}`
  if (entry.element !== 0) return `${describeType(catalogue, entry.element)}[]`
  return entry.kind === "e" ? `enum ${entry.name}` : entry.name
}
