import { oids } from "../expression/Expression.ts"
import { canCoerceAll } from "./Polymorphic.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"

/**
 * Postgres' choice between overloads.
 * Source: PostgreSQL documentation, "Functions" and "Operators" in "Type Conversion".
 */
export const selectCandidate = <A>(
  catalogue: TypeCatalogue,
  given: ReadonlyArray<number>,
  candidates: ReadonlyArray<A>,
  parametersOf: (candidate: A) => ReadonlyArray<number>
): A | undefined => {
  let remaining: ReadonlyArray<A> = candidates.filter((candidate) =>
    canCoerceAll(catalogue, given, parametersOf(candidate))
  )
  if (remaining.length <= 1) return remaining[0]
  const base = given.map((type) => (type === oids.unknown ? type : catalogue.baseType(type)))
  const categories = base.map((type) => (type === oids.unknown ? "" : (catalogue.type(type)?.category ?? "")))
  const best = (score: (parameters: ReadonlyArray<number>) => number): void => {
    let top = 0
    let kept: Array<A> = []
    for (const candidate of remaining) {
      const value = score(parametersOf(candidate))
      if (value > top || kept.length === 0) {
        top = value
        kept = [candidate]
      } else if (value === top) kept.push(candidate)
    }
    remaining = kept
  }
  best((parameters) => base.filter((type, i) => type !== oids.unknown && type === parameters[i]).length)
  if (remaining.length === 1) return remaining[0]
  best(
    (parameters) =>
      base.filter((type, i) => {
        if (type === oids.unknown) return false
        const wanted = parameters[i] ?? 0
        if (wanted === type) return true
        const entry = catalogue.type(wanted)
        return entry !== undefined && entry.preferred && entry.category === categories[i]
      }).length
  )
  if (remaining.length === 1) return remaining[0]
  if (!base.includes(oids.unknown)) return undefined
  const narrowed = byCategory(catalogue, base, remaining, parametersOf)
  if (narrowed !== undefined) {
    if (narrowed.length === 1) return narrowed[0]
    if (narrowed.length > 0) remaining = narrowed
  }
  const known = new Set(base.filter((type) => type !== oids.unknown))
  if (known.size !== 1) return undefined
  const [only = 0] = known
  const assumed = base.map(() => only)
  const fitting = remaining.filter((candidate) => canCoerceAll(catalogue, assumed, parametersOf(candidate)))
  return fitting.length === 1 ? fitting[0] : undefined
}

/** Unknown literals are taken for strings if any candidate takes one there, else for what all candidates agree on. */
const byCategory = <A>(
  catalogue: TypeCatalogue,
  base: ReadonlyArray<number>,
  remaining: ReadonlyArray<A>,
  parametersOf: (candidate: A) => ReadonlyArray<number>
): ReadonlyArray<A> | undefined => {
  const chosen: Array<{ readonly category: string; readonly preferred: boolean } | undefined> = []
  for (const [i, type] of base.entries()) {
    if (type !== oids.unknown) continue
    let category: string | undefined
    let preferred = false
    let conflict = false
    for (const candidate of remaining) {
      const entry = catalogue.type(parametersOf(candidate)[i] ?? 0)
      if (entry === undefined) continue
      if (category === undefined) {
        category = entry.category
        preferred = entry.preferred
      } else if (category === entry.category) preferred ||= entry.preferred
      else if (entry.category === "S") {
        category = "S"
        preferred = entry.preferred
      } else conflict = true
    }
    if (category === undefined || (conflict && category !== "S")) return undefined
    chosen[i] = { category, preferred }
  }
  return remaining.filter((candidate) =>
    base.every((_, i) => {
      const slot = chosen[i]
      if (slot === undefined) return true
      const entry = catalogue.type(parametersOf(candidate)[i] ?? 0)
      return entry !== undefined && entry.category === slot.category && (!slot.preferred || entry.preferred)
    })
  )
}
