import type { LinkKey, SubselectKind } from "../../where/index.ts"
import type { Asked } from "./LinkReader.ts"
import { asksForAll, asksWithUnknown, knownOfGroup, knownOfLink, type Probe } from "./Probes.ts"

/** What a row gives, or would give, to sub-selects of a kind. */
interface Gift {
  readonly group: LinkKey
  /** `null` where a selected value is NULL. */
  readonly link: LinkKey
  /** Of the values of `group` and `select`. */
  readonly texts: ReadonlyArray<string | null>
}

/** What of these is known at some places. */
interface KnownKeys {
  /** As many gifts are in it. */
  readonly gifts: number
  readonly links: ReadonlySet<LinkKey>
  readonly groups: ReadonlySet<LinkKey>
  readonly nullGroups: ReadonlySet<LinkKey>
}

/** What sub-selects of one kind may have more or less of, after some transactions. */
export interface TouchedKind {
  /** Of any value. */
  everything: boolean
  readonly gifts: Map<unknown, Gift>
  /** The groups of all of them, and of those with a NULL. */
  readonly groups: Set<LinkKey>
  readonly nullGroups: Set<LinkKey>
  /** By the places of what is known. */
  readonly known: Map<string, KnownKeys>
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

  /** Grows with each that is added. */
  get size(): number {
    let size = 0
    for (const { everything, gifts } of this.kinds.values()) size += everything ? mostGifts + 1 : gifts.size
    return size
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
          nullGroups: new Set<LinkKey>(),
          known: new Map<string, KnownKeys>()
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
    touched.known.clear()
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

const knownOf = (touched: TouchedKind, probe: Probe): KnownKeys => {
  const key = JSON.stringify([probe.known, probe.group.length])
  const before = touched.known.get(key)
  if (before?.gifts === touched.gifts.size) return before
  const links = new Set<LinkKey>()
  for (const { link } of touched.gifts.values()) if (link !== null) links.add(knownOfLink(probe, link))
  const known = {
    gifts: touched.gifts.size,
    links,
    groups: new Set(Array.from(touched.groups, (group) => knownOfGroup(probe, group))),
    nullGroups: new Set(Array.from(touched.nullGroups, (group) => knownOfGroup(probe, group)))
  }
  touched.known.set(key, known)
  return known
}

/** Whether what the kind has more or less of can matter to a row that asks with this: as `concernedBy` says it in SQL. */
export const mayConcern = (touched: TouchedKind, probe: Probe, { group, link }: Asked): boolean => {
  if (touched.everything) return true
  const isWhole = probe.known === undefined
  const { groups, nullGroups } = isWhole ? touched : knownOf(touched, probe)
  if (asksForAll(probe)) return groups.has(group)
  if (link !== null && (isWhole ? touched.gifts.has(link) : knownOf(touched, probe).links.has(link)))
    return true
  if (probe.how !== "any" || !probe.nullable) return false
  return link === null || asksWithUnknown(probe) ? groups.has(group) : nullGroups.has(group)
}
