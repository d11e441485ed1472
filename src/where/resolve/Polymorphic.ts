import type { TypeCatalogue, TypeEntry } from "../catalogue/TypeCatalogue.ts"
import { oids } from "../expression/Expression.ts"
import { canCoerce, commonType, isPolymorphic } from "./Coercion.ts"

/**
 * What polymorphic parameters of functions and operators stand for in a call.
 * Source: PostgreSQL documentation, "Polymorphic Types".
 */
interface Resolved {
  readonly args: ReadonlyArray<number>
  readonly result: number
}

/** The type that each kind of parameter stands for; 0 where the arguments do not say. */
interface Evidence {
  /** `anyelement`, `anynonarray`, `anyenum`. */
  element: number
  array: number
  range: number
  multirange: number
  /** The types of the second family: they need not agree, but must have one in common. */
  readonly compatible: Array<number>
  compatibleRange: number
}

/** `anycompatible` and its like: arguments are brought to one type. Those of the other family must have one. */
const isCompatible = (parameter: number): boolean =>
  parameter === oids.anycompatible ||
  parameter === oids.anycompatiblenonarray ||
  parameter === oids.anycompatiblearray ||
  parameter === oids.anycompatiblerange ||
  parameter === oids.anycompatiblemultirange

/** Two arguments want one parameter to be different types. No type has this OID. */
const contradiction = -1

const agree = (known: number, type: number): number => (known === 0 || known === type ? type : contradiction)

/** Whether an argument is of the kind that the parameter takes; `base` is its type without domains. */
const isOfKind = (catalogue: TypeCatalogue, parameter: number, given: number, base: TypeEntry): boolean => {
  switch (parameter) {
    case oids.anynonarray:
    case oids.anycompatiblenonarray:
      return base.element === 0
    case oids.anyarray:
    case oids.anycompatiblearray:
      return base.element !== 0
    case oids.anyrange:
    case oids.anycompatiblerange:
      return base.kind === "r"
    case oids.anymultirange:
    case oids.anycompatiblemultirange:
      return base.kind === "m"
    case oids.anyenum:
      // A domain over an enum is none: Postgres knows no operator for it either.
      return catalogue.type(given)?.kind === "e"
    default:
      return true
  }
}

/** Takes in what an argument says that is of the kind that the parameter takes. */
const takeIn = (
  catalogue: TypeCatalogue,
  evidence: Evidence,
  parameter: number,
  given: number,
  base: TypeEntry
): void => {
  switch (parameter) {
    case oids.anyelement:
    case oids.anynonarray:
    case oids.anyenum:
      evidence.element = agree(evidence.element, given)
      return
    case oids.anyarray:
      evidence.array = agree(evidence.array, base.oid)
      return
    case oids.anyrange:
      evidence.range = agree(evidence.range, base.oid)
      return
    case oids.anymultirange:
      evidence.multirange = agree(evidence.multirange, base.oid)
      return
    case oids.anycompatiblearray:
      evidence.compatible.push(base.element)
      return
    case oids.anycompatiblerange:
      evidence.compatibleRange = agree(evidence.compatibleRange, base.oid)
      evidence.compatible.push(base.subtype)
      return
    case oids.anycompatiblemultirange:
      evidence.compatibleRange = agree(evidence.compatibleRange, base.subtype)
      evidence.compatible.push(catalogue.type(base.subtype)?.subtype ?? 0)
      return
    default:
      evidence.compatible.push(given)
  }
}

/** An array tells its element, a multirange its range, a range its element; false when something contradicts another. */
const conclude = (catalogue: TypeCatalogue, evidence: Evidence): boolean => {
  const { array, compatibleRange, multirange } = evidence
  if (array !== 0) {
    const inner = catalogue.type(array)?.element ?? 0
    const { element } = evidence
    // It may be a domain over what the array holds.
    if (element !== 0 && catalogue.baseType(element) !== inner && element !== inner) return false
    if (element === 0) evidence.element = inner
  }
  if (multirange !== 0) evidence.range = agree(evidence.range, catalogue.type(multirange)?.subtype ?? 0)
  const { range } = evidence
  if (range !== 0) evidence.element = agree(evidence.element, catalogue.type(range)?.subtype ?? 0)
  return ![evidence.element, array, range, multirange, compatibleRange].includes(contradiction)
}

/** The type that all arguments of the second family are brought to, `undefined` when there is none. */
const commonOf = (
  catalogue: TypeCatalogue,
  { compatible, compatibleRange }: Evidence
): number | undefined => {
  const common = compatible.length === 0 ? oids.text : (commonType(catalogue, compatible) ?? 0)
  if (common === 0) return undefined
  if (compatible.some((type) => !canCoerce(catalogue, type, common, "implicit"))) return undefined
  // A range cannot be brought to one over another type.
  if (compatibleRange !== 0 && catalogue.type(compatibleRange)?.subtype !== common) return undefined
  return common
}

/** What a declared type stands for; one that is not polymorphic for itself. */
const actualType = (
  catalogue: TypeCatalogue,
  { array, compatibleRange, element, multirange, range }: Evidence,
  common: number,
  declared: number
): number => {
  switch (declared) {
    case oids.anyelement:
    case oids.anynonarray:
    case oids.anyenum:
      return element
    case oids.anyarray:
      return array !== 0 ? array : (catalogue.type(element)?.array ?? 0)
    case oids.anyrange:
      return range
    case oids.anymultirange:
      return multirange !== 0 ? multirange : (catalogue.type(range)?.multirange ?? 0)
    case oids.anycompatible:
    case oids.anycompatiblenonarray:
      return common
    case oids.anycompatiblearray:
      return catalogue.type(common)?.array ?? 0
    case oids.anycompatiblerange:
      return compatibleRange
    case oids.anycompatiblemultirange:
      return catalogue.type(compatibleRange)?.multirange ?? 0
    default:
      return declared
  }
}

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
  const evidence: Evidence = {
    element: 0,
    array: 0,
    range: 0,
    multirange: 0,
    compatible: [],
    compatibleRange: 0
  }
  let usesFirst = false
  let usesCompatible = false
  for (const [i, parameter] of declared.entries()) {
    if (!isPolymorphic(parameter)) continue
    if (isCompatible(parameter)) usesCompatible = true
    else usesFirst = true
    const given = actual[i] ?? 0
    if (given === oids.unknown) continue
    const base = catalogue.type(catalogue.baseType(given))
    if (base === undefined || !isOfKind(catalogue, parameter, given, base)) return undefined
    takeIn(catalogue, evidence, parameter, given, base)
  }
  if (!conclude(catalogue, evidence)) return undefined
  const common = usesCompatible ? commonOf(catalogue, evidence) : 0
  if (common === undefined) return undefined
  const args = declared.map((type) => actualType(catalogue, evidence, common, type))
  // Only unknown literals: allowed while candidates are weighed, an error once one is chosen.
  if (usesFirst && evidence.element === 0) return { args, result: 0 }
  return { args, result: actualType(catalogue, evidence, common, result) }
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
