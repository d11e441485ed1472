import { keyName, type LinkKey, linkNames } from "../where/index.ts"
import type { Links } from "./Links.ts"

/** Of which kind the ids are. */
interface Kind {
  readonly links: Links
  readonly groupWidth: number
}

/** Ids whose values are NULL at the same places, by what has been asked of them. */
interface Alike {
  readonly ids: Map<number, number>
  /** By the mask of the places that were compared: how many ids have these values there. */
  readonly byPlaces: Map<number, Map<string, number>>
}

/** A bit for each place that is not NULL. */
export const maskOf = (values: ReadonlyArray<unknown>): number =>
  values.reduce<number>((mask, value, i) => (value === null ? mask : mask | (1 << i)), 0)

/**
 * Which of some ids, of several values each, could be equal to values where one side or the other has NULLs. They are looked up
 * by the values that are known on both sides; arranged for that they are once somebody asks.
 */
export class Patterns {
  private readonly of: Kind
  private readonly byMask = new Map<number, Alike>()

  constructor(of: Kind) {
    this.of = of
  }

  /** So many more of an id: below 0 in what a transaction changes. */
  add(id: number, delta: number): void {
    const names = this.namesOf(id)
    const mask = maskOf(names)
    let alike = this.byMask.get(mask)
    if (alike === undefined) this.byMask.set(mask, (alike = { ids: new Map(), byPlaces: new Map() }))
    addTo(alike.ids, id, delta)
    for (const [places, counts] of alike.byPlaces)
      addTo(counts, textOf(this.of.links.groupOf(id), names, places), delta)
  }

  /** Masks of which there are ids. */
  masks(): Iterable<number> {
    return this.byMask.keys()
  }

  /** How many ids with this mask, in this group, have these values at the places that neither side has NULL at. */
  count(mask: number, group: LinkKey, values: ReadonlyArray<unknown>): number {
    const alike = this.byMask.get(mask)
    if (alike === undefined) return 0
    const places = mask & maskOf(values)
    let counts = alike.byPlaces.get(places)
    if (counts === undefined) {
      alike.byPlaces.set(places, (counts = new Map<string, number>()))
      for (const [id, count] of alike.ids)
        addTo(counts, textOf(this.of.links.groupOf(id), this.namesOf(id), places), count)
    }
    const names = values.map((value) => (value === null ? null : keyName(value)))
    return counts.get(textOf(group, names, places)) ?? 0
  }

  private namesOf(id: number): ReadonlyArray<string | null> {
    const { groupWidth, links } = this.of
    const special = links.specialOf(id)
    return special === undefined
      ? linkNames(links.linkOf(id)).slice(groupWidth)
      : special.parts.map((part) => (part === null ? null : keyName(part)))
  }
}

const textOf = (group: LinkKey, names: ReadonlyArray<string | null>, places: number): string =>
  JSON.stringify([keyName(group), names.filter((_, i) => (places & (1 << i)) !== 0)])

const addTo = <K>(counts: Map<K, number>, key: K, delta: number): void => {
  const sum = (counts.get(key) ?? 0) + delta
  if (sum === 0) counts.delete(key)
  else counts.set(key, sum)
}
