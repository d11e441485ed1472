import type { LinkKey, SubselectKind } from "../../where/index.ts"
import type { Asked } from "./LinkReader.ts"
import type { Probe } from "./Probes.ts"

/** What a row gives, or would give, to sub-selects of a kind. */
interface Gift {
  readonly group: LinkKey
  /** `null` where a selected value is NULL. */
  readonly link: LinkKey
  /** Of the values of `group` and `select`. */
  readonly texts: ReadonlyArray<string | null>
}

/** What sub-selects of one kind may have more or less of, after some transactions. */
export interface TouchedKind {
  /** Of any value. */
  everything: boolean
  readonly gifts: Map<unknown, Gift>
  /** The groups of all of them, and of those with a NULL. */
  readonly groups: Set<LinkKey>
  readonly nullGroups: Set<LinkKey>
}

/** More values than these are not remembered one by one. */
const mostGifts = 200_000

/**
 * Which values sub-selects may have more or less of than before, after any of some transactions: more than really change, and
 * never less. Made of nothing but the rows of these transactions, and of the rows that flips inside of sub-selects can
 * matter to.
 */
export class Touched {
  private readonly kinds = new Map<SubselectKind, TouchedKind>()

  get isEmpty(): boolean {
    return this.kinds.size === 0
  }

  of(kind: SubselectKind): TouchedKind | undefined {
    return this.kinds.get(kind)
  }

  private touch(kind: SubselectKind): TouchedKind {
    let touched = this.kinds.get(kind)
    if (touched === undefined)
      this.kinds.set(
        kind,
        (touched = {
          everything: false,
          gifts: new Map<unknown, Gift>(),
          groups: new Set<LinkKey>(),
          nullGroups: new Set<LinkKey>()
        })
      )
    return touched
  }

  all(kind: SubselectKind): void {
    const touched = this.touch(kind)
    touched.everything = true
    touched.gifts.clear()
    touched.groups.clear()
    touched.nullGroups.clear()
  }

  add(kind: SubselectKind, { group, link, texts }: Gift): void {
    const touched = this.touch(kind)
    if (touched.everything) return
    touched.gifts.set(link ?? JSON.stringify(texts), { group, link, texts })
    touched.groups.add(group)
    if (link === null) touched.nullGroups.add(group)
    if (touched.gifts.size > mostGifts) this.all(kind)
  }
}

/** Whether what the kind has more or less of can matter to a row that asks with this: as `concernedBy` says it in SQL. */
export const mayConcern = (
  { everything, gifts, groups, nullGroups }: TouchedKind,
  { how, nullable }: Probe,
  { group, link }: Asked
): boolean => {
  if (everything) return true
  if (how === "value") return groups.has(group)
  if (link !== null && gifts.has(link)) return true
  if (how !== "any" || !nullable) return false
  return link === null ? groups.has(group) : nullGroups.has(group)
}
