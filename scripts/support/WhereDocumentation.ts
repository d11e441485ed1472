import type { TypeCatalogue } from "../../src/where/catalogue/TypeCatalogue.ts"
import { natives } from "../../src/where/native/index.ts"
import { builtinKey, settled } from "../../src/where/resolve/Volatility.ts"
import { scalarNames } from "../../src/where/values/TypeSpec.ts"

/**
 * The tables of `docs/where-clauses.md`, from what is registered: which types, operators and functions are
 * evaluated here. The catalogue gives the names that users write.
 */
export const documentationTables = (catalogue: TypeCatalogue): string => {
  const lines: Array<string> = []
  lines.push("### Types", "")
  lines.push(`${scalarNames.map((name) => `\`${name}\``).join(", ")},`)
  lines.push("enums, domains over these, arrays, ranges and composite types of these.", "")
  const groups = new Map<
    string,
    { readonly operators: Map<string, Set<string>>; readonly functions: Set<string> }
  >()
  for (const native of natives.values()) {
    if (!groups.has(native.group)) groups.set(native.group, { operators: new Map(), functions: new Set() })
  }
  for (const { keyGroup, operator, operands } of operatorsOf(catalogue)) {
    const known = groups.get(keyGroup)?.operators
    if (known === undefined) continue
    const list = known.get(operator) ?? new Set()
    known.set(operator, list.add(operands))
  }
  for (const { keyGroup, text } of functionsOf(catalogue)) groups.get(keyGroup)?.functions.add(text)
  for (const [name, { operators, functions }] of groups) {
    lines.push(`### ${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, "")
    if (operators.size > 0) {
      lines.push("| operator | operands |", "| --- | --- |")
      for (const [operator, operands] of [...operators].toSorted((a, b) => compare(a[0], b[0]))) {
        lines.push(
          `| \`${operator.replaceAll("|", "\\|")}\` | ${[...operands].toSorted(compare).join(", ")} |`
        )
      }
      lines.push("")
    }
    if (functions.size > 0) {
      lines.push(
        [...functions]
          .toSorted(compare)
          .map((text) => `\`${text}\``)
          .join(", "),
        ""
      )
    }
  }
  lines.push("### Stable functions that count as immutable", "")
  lines.push(
    stableNames(catalogue)
      .map((name) => `\`${name}\``)
      .join(", "),
    ""
  )
  return lines.join("\n")
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const typeNameOf = (catalogue: TypeCatalogue, oid: number): string => {
  const entry = catalogue.type(oid)
  if (entry === undefined) return "?"
  return entry.element === 0 ? entry.name : `${typeNameOf(catalogue, entry.element)}[]`
}

const operatorsOf = (
  catalogue: TypeCatalogue
): ReadonlyArray<{ readonly keyGroup: string; readonly operator: string; readonly operands: string }> =>
  catalogue.allOperators().flatMap((entry) => {
    const implementation = catalogue.function(entry.function)
    const key = implementation === undefined ? undefined : builtinKey(catalogue, implementation)
    const native = key === undefined ? undefined : natives.get(key)
    if (native === undefined || entry.schema !== "pg_catalog") return []
    const right = typeNameOf(catalogue, entry.right)
    const left = typeNameOf(catalogue, entry.left)
    const operands = entry.left === 0 ? right : left === right ? left : `${left} and ${right}`
    return [{ keyGroup: native.group, operator: entry.name, operands }]
  })

/** Functions that users call: not those that only stand behind operators and casts. */
const functionsOf = (
  catalogue: TypeCatalogue
): ReadonlyArray<{ readonly keyGroup: string; readonly text: string }> => {
  const behindOperators = new Set(catalogue.allOperators().map((entry) => entry.function))
  return catalogue.allFunctions().flatMap((entry) => {
    const key = builtinKey(catalogue, entry)
    const native = key === undefined ? undefined : natives.get(key)
    if (native === undefined || entry.name.includes("_in_") || entry.kind !== "f") return []
    if (behindOperators.has(entry.oid) && !wellKnown.has(entry.name)) return []
    const args = entry.args.map((type, i) =>
      entry.variadic !== 0 && i === entry.args.length - 1 ? "VARIADIC" : typeNameOf(catalogue, type)
    )
    return [{ keyGroup: native.group, text: `${entry.name}(${args.join(", ")})` }]
  })
}

/** Functions with an operator that are also called by name. */
const wellKnown: ReadonlySet<string> = new Set([
  "array_append",
  "array_cat",
  "array_prepend",
  "starts_with",
  "jsonb_extract_path",
  "jsonb_extract_path_text",
  "abs",
  "mod",
  "timezone"
])

const stableNames = (catalogue: TypeCatalogue): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (const entry of catalogue.allFunctions()) {
    const key = builtinKey(catalogue, entry)
    if (key === undefined || !settled.has(key) || entry.volatility !== "s") continue
    if (/^(?:date|timestamp|timestamptz)_(?:eq|ne|lt|le|gt|ge|cmp)_/.test(entry.name)) continue
    names.add(entry.name)
  }
  return [...names].toSorted(compare)
}

const start = "<!-- generated: begin -->"
const end = "<!-- generated: end -->"

/** Puts the tables into the page, between its markers. */
export const withTables = (page: string, tables: string): string => {
  const from = page.indexOf(start)
  const to = page.indexOf(end)
  if (from < 0 || to < from) return page
  return `${page.slice(0, from + start.length)}\n\n${tables}\n${page.slice(to)}`
}
