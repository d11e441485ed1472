import { natives } from "../native/index.ts"
import { codecOf } from "../values/Codecs.ts"
import { type Form, type FormColumn, some, type SubselectForm } from "../evaluate/Form.ts"
import type { CollationKind } from "../values/Text.ts"
import { isForeign, type TypeSpec } from "../values/TypeSpec.ts"

/**
 * One way to find the clauses a row may satisfy: look up the value of `probe`, an expression over the row without
 * constants, in a structure over the clauses' constants. Every row that satisfies the clause is found that way.
 */
export interface AccessPath {
  readonly probe: Form
  readonly kind:
    /** The value equals one of `constants`. */
    | "equal"
    /** The value is an array that holds all (`containsAll`) or one (`containsAny`) of the elements of a constant. */
    | "containsAll"
    | "containsAny"
    | "isNull"
    /** The value lies between bounds. */
    | "range"
    /** The value is a text that begins with what stands before the first special character of a pattern, a constant. */
    | "prefix"
    /** `probe` is a sub-select whose rows have the values that the row has: see `Membership.having`. */
    | "member"
  /**
   * Slots of the constants: values for `equal`, arrays for the `contains` kinds and for `equal` with `spread`, a pattern for `prefix`,
   * lists for `member`.
   */
  readonly slots: ReadonlyArray<number>
  /** The constant of `slots` is an array whose elements are the values. */
  readonly spread: boolean
  readonly bounds: ReadonlyArray<{ readonly operator: "<" | "<=" | ">" | ">="; readonly slot: number }>
  /** How values are identified (or ordered, for ranges). */
  readonly type: TypeSpec
  readonly collation: CollationKind
  /** The path alone decides the clause: nothing remains to be evaluated. */
  readonly exact: boolean
  readonly description: string
}

/** A boolean column as a condition is `column = true`. */
const literalTrue = -1
const literalFalse = -2
export const booleanSlots = { true: literalTrue, false: literalFalse } as const

/** Longer beginnings of texts are not told apart. */
const longestPrefix = 128

/** What texts begin with that are LIKE the pattern, as far as they are looked up by it. */
export const prefixOfPattern = (pattern: string): string => {
  const end = pattern.search(/[%_\\]/)
  return pattern.slice(0, Math.min(longestPrefix, end < 0 ? pattern.length : end))
}

/**
 * The access paths of a clause with these constants: all of one alternative must be registered for it to be found. Empty when
 * the clause has to be evaluated for every row.
 */
export const accessPaths = (
  root: Form,
  columns: ReadonlyArray<FormColumn>,
  constants: ReadonlyArray<string | null>
): ReadonlyArray<AccessPath> =>
  alternativesOf(root, columns).find((paths) =>
    paths.every(({ kind, slots }) => kind !== "prefix" || slots.every((slot) => hasPrefix(constants[slot])))
  ) ?? []

const hasPrefix = (pattern: string | null | undefined): boolean =>
  typeof pattern !== "string" || prefixOfPattern(pattern) !== ""

/** Every way to index a clause, best first; each is a list of paths that together find all its rows. */
export const alternativesOf = (
  form: Form,
  columns: ReadonlyArray<FormColumn>
): ReadonlyArray<ReadonlyArray<AccessPath>> => {
  if ("and" in form) {
    const found = form.and.flatMap((part) =>
      alternativesOf(part, columns).map((paths) => paths.map((path) => ({ ...path, exact: false })))
    )
    const range = mergedRanges(form.and, columns)
    return [...found.filter((paths) => !isPlainRange(paths)), ...range].toSorted((a, b) => cost(a) - cost(b))
  }
  if ("or" in form) {
    const parts = form.or.map((part) => alternativesOf(part, columns)[0])
    if (parts.length > 64 || parts.some((part) => part === undefined)) return []
    const paths = mergeEqual(parts.flatMap((part) => part ?? []))
    // What one alternative finds is evaluated as a whole: another one may be an error, and then the clause is.
    return [paths.length === 1 ? paths : paths.map((path) => ({ ...path, exact: false }))]
  }
  const single = singlePath(form, columns)
  return single === undefined ? [] : [[single]]
}

const isPlainRange = (paths: ReadonlyArray<AccessPath>): boolean =>
  paths.length === 1 && paths[0]?.kind === "range"

/** Lower is more selective, as far as the form alone tells. */
const cost = (paths: ReadonlyArray<AccessPath>): number =>
  paths.reduce((sum, path) => {
    if (path.kind === "equal") return sum + (path.type === "bool" ? 50 : path.spread ? 3 : path.slots.length)
    if (path.kind === "containsAll") return sum + 4
    if (path.kind === "member") return sum + 6
    if (path.kind === "containsAny") return sum + 8
    if (path.kind === "range") return sum + (path.bounds.length > 1 ? 20 : 40)
    // The pattern may begin with a special character, and then it is no path.
    if (path.kind === "prefix") return sum + 80
    return sum + 60
  }, 0)

/** `x = 1 OR x = 2` is one lookup. */
const mergeEqual = (paths: ReadonlyArray<AccessPath>): ReadonlyArray<AccessPath> => {
  const merged: Array<AccessPath> = []
  for (const path of paths) {
    const key = JSON.stringify([path.probe, path.type])
    const at = merged.findIndex(
      (one) =>
        one.kind === "equal" &&
        path.kind === "equal" &&
        !one.spread &&
        !path.spread &&
        JSON.stringify([one.probe, one.type]) === key
    )
    const known = merged[at]
    if (known === undefined) merged.push(path)
    else merged[at] = { ...known, slots: [...known.slots, ...path.slots], exact: known.exact && path.exact }
  }
  return merged
}

/** An expression over the row that the same index can answer for every clause that uses it. What sub-selects give is not. */
const isProbe = (form: Form): boolean =>
  some(form, (part) => "c" in part) && !some(form, (part) => "k" in part || "x" in part || "sub" in part)

interface Operands {
  readonly operator: string
  readonly probe: Form
  readonly slot: number
  readonly type: TypeSpec
  readonly collation: CollationKind
}

const mirrored: Readonly<Record<string, string>> = { "=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<=" }

/** The type under which two operands of a comparison are identified: they share one representation. */
const identityType = (
  key: string,
  signature: TypeSpec | undefined,
  columns: ReadonlyArray<FormColumn>,
  probe: Form
): TypeSpec | undefined => {
  if (signature !== undefined) return signature
  const native = /^(?:int[248]|oid)/.test(key) ? "int8" : key.startsWith("float") ? "float8" : undefined
  if (native !== undefined) return native
  const byPrefix = /^(bool|date|timestamp|timetz|time|uuid|bytea|numeric|interval|network)/.exec(key)?.[1]
  if (byPrefix === "network") return "inet"
  if (byPrefix !== undefined) return byPrefix as TypeSpec
  return "c" in probe ? columns[probe.c]?.type : undefined
}

const operandsOf = (form: Form, columns: ReadonlyArray<FormColumn>): Operands | undefined => {
  if (!("f" in form)) return undefined
  const native = natives.get(form.f)
  const [left, right] = form.a
  if (
    native?.comparison === undefined ||
    native.comparison === "<>" ||
    left === undefined ||
    right === undefined
  ) {
    return undefined
  }
  const collation = form.s?.l ?? "c"
  const straight = "k" in right && isProbe(left)
  const reversed = "k" in left && isProbe(right)
  if (!straight && !reversed) return undefined
  const probe = straight ? left : right
  const slot = straight && "k" in right ? right.k : "k" in left ? left.k : 0
  const type = identityType(form.f, form.s?.a[0], columns, probe)
  if (type === undefined) return undefined
  const operator = straight ? native.comparison : (mirrored[native.comparison] ?? "")
  const codec = codecOf(type, collation)
  if (operator === "=" ? codec.key === undefined : codec.compare === undefined) return undefined
  return { operator, probe, slot, type, collation }
}

const describe = (form: Form, columns: ReadonlyArray<FormColumn>): string =>
  "c" in form ? (columns[form.c]?.name ?? "column") : "an expression"

const isKnown = (column: FormColumn | undefined): boolean => column !== undefined && !isForeign(column.type)

const path = (
  partial: Partial<AccessPath> & Pick<AccessPath, "probe" | "kind" | "type" | "description">
): AccessPath => ({
  slots: [],
  spread: false,
  bounds: [],
  collation: "c",
  exact: true,
  ...partial
})

const singlePath = (form: Form, columns: ReadonlyArray<FormColumn>): AccessPath | undefined => {
  const compared = operandsOf(form, columns)
  if (compared !== undefined) {
    const { operator, probe, slot, type, collation } = compared
    const column = describe(probe, columns)
    if (operator === "=") {
      return path({
        probe,
        kind: "equal",
        slots: [slot],
        type,
        collation,
        description: `equality on ${column}`
      })
    }
    const bound = operator as "<" | "<=" | ">" | ">="
    return path({
      probe,
      kind: "range",
      bounds: [{ operator: bound, slot }],
      type,
      collation,
      description: `range on ${column}`
    })
  }
  if ("c" in form && columns[form.c]?.type === "bool") {
    return path({
      probe: form,
      kind: "equal",
      slots: [literalTrue],
      type: "bool",
      description: `value of ${describe(form, columns)}`
    })
  }
  if (
    "not" in form &&
    typeof form.not === "object" &&
    "c" in form.not &&
    columns[form.not.c]?.type === "bool"
  ) {
    return path({
      probe: form.not,
      kind: "equal",
      slots: [literalFalse],
      type: "bool",
      description: `value of ${describe(form.not, columns)}`
    })
  }
  if ("isNull" in form && !form.not && !form.row && "c" in form.isNull && isKnown(columns[form.isNull.c])) {
    return path({
      probe: form.isNull,
      kind: "isNull",
      type: "bool",
      description: `NULL in ${describe(form.isNull, columns)}`
    })
  }
  if ("sub" in form) return memberPath(form, columns)
  if ("any" in form && !form.all) return anyPath(form, columns)
  return prefixPath(form, columns) ?? arrayPath(form, columns)
}

/** Texts are compared by their bytes here, as LIKE compares them under every collation that is evaluated here at all. */
const prefixPath = (form: Form, columns: ReadonlyArray<FormColumn>): AccessPath | undefined => {
  if (!("f" in form) || (form.f !== "textlike" && form.f !== "namelike")) return undefined
  const [left, right] = form.a
  if (left === undefined || right === undefined || !("k" in right) || !isProbe(left)) return undefined
  return path({
    probe: left,
    kind: "prefix",
    slots: [right.k],
    type: "text",
    collation: form.s?.l ?? "c",
    exact: false,
    description: `beginning of ${describe(left, columns)}`
  })
}

/** A sub-select that has to give something for the row, by the values of the row that it depends on. */
const memberPath = (form: SubselectForm, columns: ReadonlyArray<FormColumn>): AccessPath | undefined => {
  const values = [...form.group, ...form.probe]
  if (form.how === "value" || form.how === "rows" || values.length === 0 || !values.every(isProbe))
    return undefined
  const shown = values.map((value) => describe(value, columns)).join(", ")
  return path({
    // The slot is the clause's own.
    probe: { ...form, slot: 0 },
    kind: "member",
    slots: [form.slot],
    type: "text",
    description: `membership of ${shown} in ${form.sub.table.name}`
  })
}

/** `probe = ANY (constant)` and `constant = ANY (array column)`. */
const anyPath = (
  form: Extract<Form, { readonly any: Form }>,
  columns: ReadonlyArray<FormColumn>
): AccessPath | undefined => {
  const { any, l, r } = form
  if (!("f" in any) || natives.get(any.f)?.comparison !== "=") return undefined
  const collation = any.s?.l ?? "c"
  const probe = "k" in r && isProbe(l) ? l : "k" in l && isProbe(r) ? r : undefined
  if (probe === undefined) return undefined
  const type = identityType(any.f, any.s?.a[0], columns, probe)
  if (type === undefined || codecOf(type, collation).key === undefined) return undefined
  const column = describe(probe, columns)
  if (probe === l && "k" in r) {
    return path({
      probe,
      kind: "equal",
      slots: [r.k],
      spread: true,
      type,
      collation,
      description: `equality on ${column}`
    })
  }
  if (!("k" in l)) return undefined
  return path({
    probe,
    kind: "containsAll",
    slots: [l.k],
    type,
    collation,
    description: `elements of ${column}`
  })
}

const arrayPath = (form: Form, columns: ReadonlyArray<FormColumn>): AccessPath | undefined => {
  if (!("f" in form) || !/^array(?:contains|contained|overlap)$/.test(form.f)) return undefined
  const [left, right] = form.a
  if (left === undefined || right === undefined) return undefined
  const leftSpec = form.s?.a[0]
  if (leftSpec === undefined || typeof leftSpec === "string" || !("array" in leftSpec)) return undefined
  const type = leftSpec.array
  const collation = form.s?.l ?? "c"
  if (codecOf(type, collation).key === undefined) return undefined
  const [whole, part] = form.f === "arraycontained" ? [right, left] : [left, right]
  if ("k" in part && isProbe(whole)) {
    const kind = form.f === "arrayoverlap" ? "containsAny" : "containsAll"
    return path({
      probe: whole,
      kind,
      slots: [part.k],
      spread: true,
      type,
      collation,
      exact: false,
      description: `elements of ${describe(whole, columns)}`
    })
  }
  if (form.f === "arrayoverlap" && "k" in whole && isProbe(part)) {
    return path({
      probe: part,
      kind: "containsAny",
      slots: [whole.k],
      spread: true,
      type,
      collation,
      exact: false,
      description: `elements of ${describe(part, columns)}`
    })
  }
  return undefined
}

/** Bounds on one probe are one interval. */
const mergedRanges = (
  parts: ReadonlyArray<Form>,
  columns: ReadonlyArray<FormColumn>
): ReadonlyArray<ReadonlyArray<AccessPath>> => {
  const ranges = new Map<string, { path: AccessPath; parts: number }>()
  const flat = parts.flatMap((part) => ("and" in part ? part.and : [part]))
  for (const part of flat) {
    const single = singlePath(part, columns)
    if (single?.kind !== "range") continue
    const key = JSON.stringify([single.probe, single.type, single.collation])
    const known = ranges.get(key)
    ranges.set(key, {
      path:
        known === undefined ? single : { ...known.path, bounds: [...known.path.bounds, ...single.bounds] },
      parts: (known?.parts ?? 0) + 1
    })
  }
  return [...ranges.values()].map((range) => [{ ...range.path, exact: range.parts === flat.length }])
}
