import { oids, type CastStep } from "../expression/Expression.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"

/**
 * Which type can become which, and how. Follows Postgres' rules for casts.
 * Source: PostgreSQL documentation, "Type Conversion", `CREATE CAST`, `pg_cast`.
 */
export type CoercionContext = "implicit" | "assignment" | "explicit"

const strength = { implicit: 0, assignment: 1, explicit: 2 } as const

const polymorphic: ReadonlySet<number> = new Set([
  oids.anyarray,
  oids.anyelement,
  oids.anynonarray,
  oids.anyenum,
  oids.anyrange,
  oids.anymultirange,
  oids.anycompatible,
  oids.anycompatiblearray,
  oids.anycompatiblenonarray,
  oids.anycompatiblerange,
  oids.anycompatiblemultirange
])

export const isPolymorphic = (type: number): boolean => polymorphic.has(type)

/** The steps of a cast between two different types, `undefined` when there is no such cast. */
export const castPathway = (
  catalogue: TypeCatalogue,
  from: number,
  to: number,
  context: CoercionContext
): ReadonlyArray<CastStep> | undefined => {
  const source = catalogue.baseType(from)
  const target = catalogue.baseType(to)
  if (source === target) return [{ kind: "relabel" }]
  const cast = catalogue.cast(source, target)
  if (cast !== undefined) {
    if (strength[context] < strength[cast.context]) return undefined
    if (cast.method === "binary") return [{ kind: "relabel" }]
    if (cast.method === "text") return [{ kind: "io", from: source, to: target }]
    return [{ kind: "function", function: cast.function, typmod: -1, explicit: context === "explicit" }]
  }
  const sourceEntry = catalogue.type(source)
  const targetEntry = catalogue.type(target)
  if (sourceEntry === undefined || targetEntry === undefined) return undefined
  // int2vector and oidvector look like arrays but nothing is cast to them.
  if (sourceEntry.element !== 0 && targetEntry.element !== 0 && target !== 22 && target !== 30) {
    const steps = castPathway(catalogue, sourceEntry.element, targetEntry.element, context)
    if (steps === undefined) return undefined
    if (steps.every((step) => step.kind === "relabel")) return [{ kind: "relabel" }]
    return [{ kind: "array", from: sourceEntry.element, to: targetEntry.element, steps }]
  }
  if (context !== "implicit" && targetEntry.category === "S")
    return [{ kind: "io", from: source, to: target }]
  if (context === "explicit" && sourceEntry.category === "S")
    return [{ kind: "io", from: source, to: target }]
  return undefined
}

const isComplex = (catalogue: TypeCatalogue, type: number): boolean => catalogue.type(type)?.kind === "c"

/** Whether a value of type `from` is accepted where `to` is wanted (polymorphic targets are checked separately). */
export const canCoerce = (
  catalogue: TypeCatalogue,
  from: number,
  to: number,
  context: CoercionContext
): boolean => {
  if (from === to || to === oids.any || isPolymorphic(to) || from === oids.unknown) return true
  if (castPathway(catalogue, from, to, context) !== undefined) return true
  if (from === oids.record && isComplex(catalogue, to)) return true
  return to === oids.record && isComplex(catalogue, from)
}

/** The type that a list of values is brought to, `undefined` when they have none in common. */
export const commonType = (catalogue: TypeCatalogue, types: ReadonlyArray<number>): number | undefined => {
  const first = types[0] ?? oids.unknown
  if (first !== oids.unknown && types.every((type) => type === first)) return first
  let chosen: number = oids.unknown
  for (const type of types) {
    const next = catalogue.baseType(type)
    if (next === oids.unknown || next === chosen) continue
    if (chosen === oids.unknown) {
      chosen = next
      continue
    }
    const current = catalogue.type(chosen)
    const candidate = catalogue.type(next)
    if (current === undefined || candidate === undefined || current.category !== candidate.category)
      return undefined
    if (
      !current.preferred &&
      canCoerce(catalogue, chosen, next, "implicit") &&
      !canCoerce(catalogue, next, chosen, "implicit")
    ) {
      chosen = next
    }
  }
  return chosen === oids.unknown ? oids.text : chosen
}
