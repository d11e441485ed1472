import type { CollationEntry, TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { defaultCollationOid } from "../expression/Expression.ts"
import type { CollationKind } from "../values/Text.ts"
import { isScalarName, type TypeSpec } from "../values/TypeSpec.ts"

const cache = new WeakMap<TypeCatalogue, Map<number, TypeSpec>>()

/** Describes a type for the evaluator; domains are their base type. */
export const typeSpecOf = (catalogue: TypeCatalogue, oid: number): TypeSpec => {
  let known = cache.get(catalogue)
  if (known === undefined) cache.set(catalogue, (known = new Map()))
  let spec = known.get(oid)
  if (spec === undefined) known.set(oid, (spec = describe(catalogue, oid)))
  return spec
}

const describe = (catalogue: TypeCatalogue, oid: number): TypeSpec => {
  const entry = catalogue.type(catalogue.baseType(oid))
  if (entry === undefined) return { foreign: String(oid) }
  if (entry.schema === "pg_catalog" && entry.kind === "b" && isScalarName(entry.name)) return entry.name
  if (entry.kind === "e") return { enum: entry.labels ?? [] }
  if (entry.element !== 0) {
    const array = typeSpecOf(catalogue, entry.element)
    return entry.delimiter === "," ? { array } : { array, delimiter: entry.delimiter }
  }
  if (entry.kind === "r") {
    return { range: typeSpecOf(catalogue, entry.subtype), discrete: entry.canonical }
  }
  if (entry.kind === "c" && entry.fields !== undefined) {
    return { fields: entry.fields.map((field) => typeSpecOf(catalogue, field.type)) }
  }
  return { foreign: entry.name }
}

const kindOfLocale = (provider: string, locale: string): CollationKind => {
  const name = locale.toLowerCase()
  if (provider === "c" && (name === "c" || name === "posix")) return "c"
  if (provider === "b" && name === "c") return "c"
  if (name === "c.utf8" || name === "c.utf-8") return provider === "i" ? "language" : "codepoint"
  if (provider === "b") return "language"
  return /^(?:tr|az|lt)(?:[_@.-]|$)/.test(name) ? "opaque" : "language"
}

/** How text behaves under a collation; `undefined` for one under which different texts can be equal. */
export const collationKindOf = (catalogue: TypeCatalogue, oid: number): CollationKind | undefined => {
  if (oid === 0) return "c"
  const database = (): CollationKind =>
    kindOfLocale(catalogue.defaultCollation.provider, catalogue.defaultCollation.locale)
  if (oid === defaultCollationOid) return database()
  const entry: CollationEntry | undefined = catalogue.collation(oid)
  if (entry === undefined || !entry.deterministic) return undefined
  return entry.provider === "d" ? database() : kindOfLocale(entry.provider, entry.locale)
}
