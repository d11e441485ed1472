import type { LinkKey, SubselectKind } from "../../where/index.ts"

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
      this.kinds.set(kind, (touched = { everything: false, gifts: new Map<unknown, Gift>() }))
    return touched
  }

  all(kind: SubselectKind): void {
    const touched = this.touch(kind)
    touched.everything = true
    touched.gifts.clear()
  }

  add(kind: SubselectKind, { group, link, texts }: Gift): void {
    const touched = this.touch(kind)
    if (touched.everything) return
    touched.gifts.set(link ?? JSON.stringify(texts), { group, link, texts })
    if (touched.gifts.size > mostGifts) this.all(kind)
  }
}
