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

/** With what a row asks a sub-select. */
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
  const groups = probe.group.map((form) => compiled.closureOf(form))
  const probes = probe.probe.map((form) => compiled.closureOf(form))
  // Also for `exists` and `value`, which are asked with fewer values than there are keys.
  const keys = keyReaders({ sub: kind.plan })
  return (row) => {
    reader.load(row)
    try {
      const found: Array<unknown> = []
      for (const value of groups) {
        const one = value(runnable.constants)
        if (one === null) return undefined
        found.push(keys[found.length]?.(one))
      }
      const group = linkKeyOf(found)
      for (const value of probes) {
        const one = value(runnable.constants)
        found.push(one === null ? null : keys[found.length]?.(one))
      }
      return { group, link: linkKeyOf(found) }
    } catch (failure) {
      // The condition fails for this row before and after, whatever the sub-select gives, or does not get there.
      if (failure instanceof EvaluationError || failure instanceof Undecided) return undefined
      throw failure
    }
  }
}
