import type { Tuple } from "../../postgres/Tuple.ts"
import {
  type ClauseColumn,
  EvaluationError,
  keyReaders,
  type LinkKey,
  linkKeyOf,
  makeRunnable,
  Undecided
} from "../../where/index.ts"
import type { Probe } from "./Probes.ts"

/** With what a row asks a sub-select, as far as it is known. */
export interface Asked {
  /** Of the values of `group`, none of which is NULL. */
  readonly group: LinkKey
  /** Of those of `group` and `probe`; `null` where one of `probe` is NULL. */
  readonly link: LinkKey
}

/** Reads that of rows with certain columns. `undefined`: whatever the sub-select gives, the row is not concerned. */
export type ReadLink = (row: Tuple) => Asked | undefined

/** Throws `ClauseOutdated` where the rows lack what is asked with. */
export const makeLinkReader = (probe: Probe, columns: ReadonlyArray<ClauseColumn>): ReadLink => {
  const { constants, kind, plan } = probe
  const expression = {
    version: 1 as const,
    plan: JSON.stringify(plan),
    constants,
    columns: plan.columns.map(({ name }) => name)
  }
  const runnable = makeRunnable({ sql: "", expression }, columns)
  const { compiled, reader } = runnable
  const all = keyReaders({ sub: kind.plan })
  const known = probe.known ?? [...probe.group, ...probe.probe].keys()
  const asked = Array.from(known, (i) => ({
    isGroup: i < probe.group.length,
    value: compiled.closureOf(probe.group[i] ?? probe.probe[i - probe.group.length] ?? { b: null }),
    key: all[i] ?? (() => undefined)
  }))
  const groups = asked.filter(({ isGroup }) => isGroup)
  const probes = asked.filter(({ isGroup }) => !isGroup)
  return (row) => {
    reader.load(row)
    try {
      const found: Array<unknown> = []
      for (const { key, value } of groups) {
        const one = value(runnable.constants)
        if (one === null) return undefined
        found.push(key(one))
      }
      const group = linkKeyOf(found)
      for (const { key, value } of probes) {
        const one = value(runnable.constants)
        found.push(one === null ? null : key(one))
      }
      return { group, link: linkKeyOf(found) }
    } catch (failure) {
      // The condition fails for this row before and after, whatever the sub-select gives, or does not get there.
      if (failure instanceof EvaluationError || failure instanceof Undecided) return undefined
      throw failure
    }
  }
}
