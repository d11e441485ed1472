/** Cells that a list takes with its length: it moves on to the next size when it is full. */
const sizes = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 68]

/** Integers that a list can have. */
export const longestList = 64

const pageBits = 16
const pageCells = 1 << pageBits

/** The list without anything. */
export const emptyList = 0

/**
 * Very many short lists of integers, in pages of them: a list of twenty takes 96 bytes, where an array takes twice that. A list
 * is a number, which changes when the list does. In no order.
 */
export class IntLists {
  private readonly pages: Array<Int32Array> = []
  /** Where the next new list begins: the first cell is nobody's, so that no list is 0. */
  private next = 1
  /** By size: places of lists that have gone. */
  private readonly free: ReadonlyArray<Array<number>> = sizes.map(() => [])

  private idle = 0

  /** Cells of all lists, those that have gone included. */
  get cells(): number {
    return this.next
  }

  /** Most of the cells are those of lists that have gone: it is worth to take the others to another place. */
  get isSparse(): boolean {
    return this.next > 4096 && this.idle * 2 > this.next
  }

  /** The list, which is in other lists, and stays there. */
  copyOf(list: number, lists: IntLists): number {
    const length = lists.lengthOf(list)
    if (length === 0) return emptyList
    const size = sizes.findIndex((cells) => length < cells)
    const place = this.take(size)
    this.write(place, (size << 8) | length)
    for (let i = 1; i <= length; i++) this.write(place + i, lists.cell(list + i))
    return place
  }

  lengthOf(list: number): number {
    return list === emptyList ? 0 : this.cell(list) & 0xff
  }

  /** Number `i` of the list, which is longer. */
  at(list: number, i: number): number {
    return this.cell(list + 1 + i)
  }

  indexOf(list: number, value: number): number {
    const length = this.lengthOf(list)
    if (length === 0) return -1
    const page = this.pages[list >>> pageBits]
    const first = (list & (pageCells - 1)) + 1
    for (let i = 0; i < length; i++) if (page?.[first + i] === value) return i
    return -1
  }

  toArray(list: number): Array<number> {
    return Array.from({ length: this.lengthOf(list) }, (_, i) => this.at(list, i))
  }

  /** With one more, of `longestList` at most. The list before is no more. */
  add(list: number, value: number): number {
    const length = this.lengthOf(list)
    const size = list === emptyList ? -1 : this.cell(list) >>> 8
    let place = list
    if (size < 0 || length + 2 > (sizes[size] ?? 0)) {
      place = this.take(size + 1)
      for (let i = 0; i < length; i++) this.write(place + 1 + i, this.at(list, i))
      this.write(place, ((size + 1) << 8) | length)
      if (list !== emptyList) this.give(list)
    }
    this.write(place + 1 + length, value)
    this.write(place, this.cell(place) + 1)
    return place
  }

  /** Without a value that is in it. The list before is no more. */
  remove(list: number, value: number): number {
    const last = this.lengthOf(list) - 1
    const i = this.indexOf(list, value)
    if (i < 0) return list
    if (last === 0) {
      this.give(list)
      return emptyList
    }
    this.write(list + 1 + i, this.at(list, last))
    const size = this.cell(list) >>> 8
    this.write(list, (size << 8) | last)
    // Half of it would do.
    const smaller = size - 2
    if (smaller < 0 || last + 1 > (sizes[smaller] ?? 0)) return list
    const place = this.take(smaller)
    this.write(place, (smaller << 8) | last)
    for (let k = 0; k < last; k++) this.write(place + 1 + k, this.at(list, k))
    this.give(list)
    return place
  }

  /** The list is no more. */
  give(list: number): void {
    if (list === emptyList) return
    const size = this.cell(list) >>> 8
    this.idle += sizes[size] ?? 0
    this.free[size]?.push(list)
  }

  private take(size: number): number {
    const known = this.free[size]?.pop()
    const cells = sizes[size] ?? 0
    if (known !== undefined) {
      this.idle -= cells
      return known
    }
    // No list is on two pages.
    if ((this.next & (pageCells - 1)) + cells > pageCells)
      this.next = ((this.next >>> pageBits) + 1) << pageBits
    const place = this.next
    this.next += cells
    return place
  }

  private cell(place: number): number {
    return this.pages[place >>> pageBits]?.[place & (pageCells - 1)] ?? 0
  }

  private write(place: number, value: number): void {
    const at = place >>> pageBits
    const page = (this.pages[at] ??= new Int32Array(pageCells))
    page[place & (pageCells - 1)] = value
  }
}
