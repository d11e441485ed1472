const pageBits = 6
const pageSize = 1 << pageBits

interface Page<A> {
  readonly items: Array<A | undefined>
  used: number
}

/**
 * Things by ids that rise: a slot of a list for each instead of an entry of a `Map`, which takes a third of the memory where there are
 * very many. Pages of which nothing is left are gone.
 */
export class IdPages<A> {
  size = 0
  private readonly pages = new Map<number, Page<A>>()
  /** The page that was asked for last: ids that are asked for one after the other are near each other. */
  private lastNumber = -1
  private last: Page<A> | undefined

  get(id: number): A | undefined {
    const number = id >>> pageBits
    if (number !== this.lastNumber) {
      this.last = this.pages.get(number)
      this.lastNumber = number
    }
    return this.last?.items[id % pageSize]
  }

  set(id: number, item: A): void {
    const number = id >>> pageBits
    let page = this.pages.get(number)
    if (page === undefined) this.pages.set(number, (page = { items: newPage<A>(), used: 0 }))
    this.lastNumber = -1
    if (page.items[id % pageSize] === undefined) {
      page.used++
      this.size++
    }
    page.items[id % pageSize] = item
  }

  delete(id: number): void {
    const page = this.pages.get(id >>> pageBits)
    if (page === undefined || page.items[id % pageSize] === undefined) return
    page.items[id % pageSize] = undefined
    this.size--
    if (--page.used > 0) return
    this.pages.delete(id >>> pageBits)
    this.lastNumber = -1
  }

  /**
   * Those with this id and higher ones, in no order. As they are when they are come to: what is removed meanwhile is left out,
   * what is added may not be.
   */
  *values(from = 0): Generator<A, undefined> {
    const first = from >>> pageBits
    for (const [number, { items }] of this.pages) {
      if (number < first) continue
      for (let i = number === first ? from % pageSize : 0; i < pageSize; i++) {
        const item = items[i]
        if (item !== undefined) yield item
      }
    }
    return undefined
  }
}

const newPage = <A>(): Array<A | undefined> => Array.from<A | undefined>({ length: pageSize }).fill(undefined)
