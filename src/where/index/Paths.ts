import type { ArrayValue } from "../values/Arrays.ts"
import { codecOf } from "../values/Codecs.ts"
import type { Codec } from "../values/Codec.ts"
import type { Compiled } from "../evaluate/Compile.ts"
import type { FormColumn } from "../evaluate/Form.ts"
import { subselectKind } from "../evaluate/Membership.ts"
import type { RunnableClause } from "../evaluate/RunnableClause.ts"
import { alternativesOf, booleanSlots, prefixOfPattern, type AccessPath } from "./AccessPaths.ts"
import type { Interval } from "./IntervalTree.ts"

/** An access path with what is the same for all clauses of its form. */
export interface PlannedPath {
  readonly path: AccessPath
  /** Names the probe across forms. */
  readonly probeKey: string
  readonly codec: Codec
}

export type Alternative = ReadonlyArray<PlannedPath>

/** What the index asks of a clause. */
type Constants = Pick<RunnableClause, "compiled" | "constants">

const planned = new WeakMap<Compiled, ReadonlyArray<Alternative>>()

/** The ways to index clauses of a form, best first. */
export const alternativesFor = (compiled: Compiled): ReadonlyArray<Alternative> => {
  let known = planned.get(compiled)
  if (known === undefined) {
    const { columns, root } = compiled.plan
    known = alternativesOf(root, columns)
      .slice(0, 6)
      .map((paths) =>
        paths.map((path) => ({
          path,
          probeKey: probeKeyOf(path, columns),
          codec: codecOf(path.type, path.collation)
        }))
      )
    planned.set(compiled, known)
  }
  return known
}

const probeKeyOf = ({ collation, probe, type }: AccessPath, columns: ReadonlyArray<FormColumn>): string => {
  // Columns inside a sub-select are those of its own table.
  const parts =
    "sub" in probe ? [subselectKind(probe.sub).text, probe.group, probe.probe] : [probe, type, collation]
  return JSON.stringify(parts, (_, value: unknown) =>
    typeof value === "object" && value !== null && "c" in value && typeof value.c === "number"
      ? { column: columns[value.c]?.name }
      : value
  )
}

/** The one key of clauses that take a NULL. */
export const nullKey = 0
export const nullKeys: ReadonlyArray<unknown> = [nullKey]

/** Keys that a clause is registered under. `undefined`: this clause's constants do not allow the path. */
export const keysOf = (one: PlannedPath, clause: Constants): ReadonlyArray<unknown> | undefined => {
  const { path, codec } = one
  if (path.kind === "prefix") return prefixKeys(clause.constants[path.slots[0] ?? 0])
  const keys = new Set<unknown>()
  for (const slot of path.slots) {
    if (slot === booleanSlots.true || slot === booleanSlots.false) {
      keys.add(slot === booleanSlots.true)
      continue
    }
    const constant = clause.constants[slot]
    const values = path.spread ? (constant as ArrayValue).elements : [constant]
    for (const value of values) {
      if (value === null) {
        // A NULL among alternatives never makes the clause true; among requirements nothing does.
        if (path.kind === "containsAll") return undefined
        continue
      }
      keys.add(codec.key?.(value))
    }
  }
  if (path.kind === "containsAll" && keys.size === 0) return undefined
  return [...keys]
}

const prefixKeys = (pattern: unknown): ReadonlyArray<unknown> | undefined => {
  // Nothing is LIKE NULL.
  if (typeof pattern !== "string") return []
  const prefix = prefixOfPattern(pattern)
  return prefix === "" ? undefined : [prefix]
}

/** The interval that a clause's bounds leave. */
export const intervalOf = (one: PlannedPath, clause: Constants, id: number): Interval => {
  const { path, codec } = one
  const compare = codec.compare ?? (() => 0)
  let lower: unknown
  let lowerInclusive = true
  let upper: unknown
  let upperInclusive = true
  for (const { operator, slot } of path.bounds) {
    const value = clause.constants[slot]
    const inclusive = operator === ">=" || operator === "<="
    if (operator.startsWith(">")) {
      const order = lower === undefined ? 1 : compare(value, lower)
      if (order > 0) {
        lower = value
        lowerInclusive = inclusive
      } else if (order === 0) lowerInclusive &&= inclusive
    } else {
      const order = upper === undefined ? -1 : compare(value, upper)
      if (order < 0) {
        upper = value
        upperInclusive = inclusive
      } else if (order === 0) upperInclusive &&= inclusive
    }
  }
  return { id, lower, lowerInclusive, upper, upperInclusive, exact: path.exact }
}
