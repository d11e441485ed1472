import { defaultCollationOid, type CollationStrength, type Expression } from "../expression/Expression.ts"
import { refuseAt } from "../WhereError.ts"

interface Collated {
  readonly collation: number
  readonly strength: CollationStrength
}

const noCollation: Collated = { collation: 0, strength: "none" }

/**
 * The collation that the arguments of an operation agree on.
 * Source: PostgreSQL documentation, "Collation Support", rules of derivation.
 */
export const mergeCollations = (args: ReadonlyArray<Expression>): Collated => {
  const { collation, strength } = merge(args)
  return { collation, strength }
}

const merge = (args: ReadonlyArray<Expression>): Collated => {
  let merged: Collated = noCollation
  for (const arg of args) {
    if (arg.strength === "none") continue
    if (merged.strength === "none") merged = arg
    else if (arg.strength === "explicit") {
      if (merged.strength === "explicit" && merged.collation !== arg.collation) {
        refuseAt(arg.at, "collation mismatch between explicit collations")
      }
      merged = arg
    } else if (merged.strength === "implicit" && arg.strength === "implicit") {
      if (merged.collation === arg.collation) continue
      if (merged.collation === defaultCollationOid) merged = arg
      else if (arg.collation !== defaultCollationOid) merged = { collation: 0, strength: "conflict" }
    } else if (merged.strength === "implicit" && arg.strength === "conflict") merged = arg
  }
  return merged
}

/** The collation an operation works under; `position` for the error when there is none to choose. */
export const inputCollation = (merged: Collated, at: number): number => {
  if (merged.strength === "conflict") {
    return refuseAt(at, "could not determine which collation to use, add a COLLATE clause")
  }
  return merged.collation
}

/** What a result of type collation `typeCollation` inherits. */
export const resultCollation = (merged: Collated, typeCollation: number): Collated => {
  if (typeCollation === 0) return noCollation
  return merged.strength === "none"
    ? { collation: typeCollation, strength: "implicit" }
    : { collation: merged.collation, strength: merged.strength }
}
