import { aroundIt, type Term } from "./Classes.ts"

/** Which table each one is looked up from; `aroundIt` for those that are looked up from the row around the sub-select. */
export type JoinTree = ReadonlyArray<number>

/**
 * A way to look up the rows of joined tables one after the other: each by values of the one before alone. It is there if every
 * value that several tables share is shared along the way between them; then the tree in which neighbours share the most is one.
 * `root` is looked up from the row around the sub-select in any case. `undefined` if there is none.
 *
 * Source: Bernstein and Goodman, "Power of Natural Semijoins" (acyclic joins and maximum spanning trees).
 */
export const joinTree = (
  tables: number,
  classes: ReadonlyArray<ReadonlyArray<Term>>,
  root: number | undefined
): JoinTree | undefined => {
  const shared = classes.map((terms) => new Set(terms.map(({ table }) => table)))
  if (root !== undefined) shared.push(new Set([aroundIt, root]))
  const weight = (a: number, b: number): number => shared.filter((one) => one.has(a) && one.has(b)).length
  const from: Array<number> = Array.from({ length: tables }, () => aroundIt)
  const inside = [aroundIt]
  const outside = new Set(from.keys())
  let total = 0
  while (outside.size > 0) {
    let best = { table: 0, parent: aroundIt, weight: -1 }
    for (const table of outside)
      for (const parent of inside) {
        const one = weight(table, parent)
        if (one > best.weight) best = { table, parent, weight: one }
      }
    from[best.table] = best.parent
    total += best.weight
    inside.push(best.table)
    outside.delete(best.table)
  }
  const needed = shared.reduce((sum, one) => sum + one.size - 1, 0)
  return total === needed ? from : undefined
}
