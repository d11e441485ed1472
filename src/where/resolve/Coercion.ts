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

/** Whether every argument is accepted, polymorphic parameters included. */
export const canCoerceAll = (
  catalogue: TypeCatalogue,
  from: ReadonlyArray<number>,
  to: ReadonlyArray<number>
): boolean => {
  for (let i = 0; i < from.length; i++) {
    if (!canCoerce(catalogue, from[i] ?? 0, to[i] ?? 0, "implicit")) return false
  }
  return !to.some(isPolymorphic) || resolvePolymorphic(catalogue, to, from, 0) !== undefined
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

interface Resolved {
  readonly args: ReadonlyArray<number>
  readonly result: number
}

const arrayOf = (catalogue: TypeCatalogue, element: number): number => catalogue.type(element)?.array ?? 0

const agree = (known: number, type: number): number => (known === 0 || known === type ? type : -1)

/**
 * Replaces polymorphic parameter and result types by actual ones; `undefined` when the arguments do not agree.
 * Unknown literals take the type the others decide.
 */
export const resolvePolymorphic = (
  catalogue: TypeCatalogue,
  declared: ReadonlyArray<number>,
  actual: ReadonlyArray<number>,
  result: number
): Resolved | undefined => {
  let element = 0
  let array = 0
  let range = 0
  let multirange = 0
  let compatibleRange = 0
  let usesFirst = false
  const compatible: Array<number> = []
  let usesCompatible = false
  for (const [i, wanted] of declared.entries()) {
    const given = actual[i] ?? 0
    if (!isPolymorphic(wanted)) continue
    const family =
      wanted === oids.anycompatible ||
      wanted === oids.anycompatiblenonarray ||
      wanted === oids.anycompatiblearray ||
      wanted === oids.anycompatiblerange ||
      wanted === oids.anycompatiblemultirange
    if (family) usesCompatible = true
    else usesFirst = true
    if (given === oids.unknown) continue
    const base = catalogue.type(catalogue.baseType(given))
    if (base === undefined) return undefined
    switch (wanted) {
      case oids.anyelement:
      case oids.anynonarray:
      case oids.anyenum:
        // A domain over an enum is none: Postgres knows no operator for it either.
        if (wanted === oids.anyenum && catalogue.type(given)?.kind !== "e") return undefined
        if (wanted === oids.anynonarray && base.element !== 0) return undefined
        element = agree(element, given)
        break
      case oids.anyarray:
        if (base.element === 0) return undefined
        array = agree(array, base.oid)
        break
      case oids.anyrange:
        if (base.kind !== "r") return undefined
        range = agree(range, base.oid)
        break
      case oids.anymultirange:
        if (base.kind !== "m") return undefined
        multirange = agree(multirange, base.oid)
        break
      case oids.anycompatiblearray:
        if (base.element === 0) return undefined
        compatible.push(base.element)
        break
      case oids.anycompatiblerange:
        if (base.kind !== "r") return undefined
        compatibleRange = agree(compatibleRange, base.oid)
        compatible.push(base.subtype)
        break
      case oids.anycompatiblemultirange:
        if (base.kind !== "m") return undefined
        compatibleRange = agree(compatibleRange, base.subtype)
        compatible.push(catalogue.type(base.subtype)?.subtype ?? 0)
        break
      default:
        if (wanted === oids.anycompatiblenonarray && base.element !== 0) return undefined
        compatible.push(given)
    }
    if (element === -1 || array === -1 || range === -1 || multirange === -1 || compatibleRange === -1)
      return undefined
  }
  if (array !== 0) {
    const inner = catalogue.type(array)?.element ?? 0
    if (element !== 0 && catalogue.baseType(element) !== inner && element !== inner) return undefined
    if (element === 0) element = inner
  }
  if (multirange !== 0) {
    const inner = catalogue.type(multirange)?.subtype ?? 0
    if (range !== 0 && range !== inner) return undefined
    range = inner
  }
  if (range !== 0) {
    const inner = catalogue.type(range)?.subtype ?? 0
    if (element !== 0 && element !== inner) return undefined
    element = inner
  }
  let common = 0
  if (usesCompatible) {
    common = compatible.length === 0 ? oids.text : (commonType(catalogue, compatible) ?? 0)
    if (common === 0) return undefined
    if (compatible.some((type) => !canCoerce(catalogue, type, common, "implicit"))) return undefined
    if (compatibleRange !== 0 && catalogue.type(compatibleRange)?.subtype !== common) return undefined
  }
  const replace = (type: number): number => {
    switch (type) {
      case oids.anyelement:
      case oids.anynonarray:
      case oids.anyenum:
        return element
      case oids.anyarray:
        return array !== 0 ? array : arrayOf(catalogue, element)
      case oids.anyrange:
        return range
      case oids.anymultirange:
        return multirange !== 0 ? multirange : (catalogue.type(range)?.multirange ?? 0)
      case oids.anycompatible:
      case oids.anycompatiblenonarray:
        return common
      case oids.anycompatiblearray:
        return arrayOf(catalogue, common)
      case oids.anycompatiblerange:
        return compatibleRange
      case oids.anycompatiblemultirange:
        return catalogue.type(compatibleRange)?.multirange ?? 0
      default:
        return type
    }
  }
  if (usesFirst && element === 0 && array === 0 && range === 0) {
    // Only unknown literals: allowed while candidates are weighed, an error once one is chosen.
    return { args: declared.map((type) => (isPolymorphic(type) ? replace(type) : type)), result: 0 }
  }
  return { args: declared.map(replace), result: replace(result) }
}
