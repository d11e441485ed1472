/** Rows that changes have added to those of a query, in order, and how often. */
interface Added {
  readonly key: string
  readonly row: string
  readonly times: number
}

/**
 * Takes the rows of a query one after the other, and gives those that there are when some changes are done to them, or taken back:
 * `RowsInTime` without the rows of the query in memory. Where they come in the order of their keys they are given in it.
 */
export class RewoundRows {
  /** By row: how many of those to come are not there. */
  private readonly gone = new Map<string, number>()
  private readonly added: Array<Added> = []
  private next = 0

  /** What changes have done to the number of rows with these bytes, by row; `keyOf` a row gives its place. */
  constructor(changes: Iterable<readonly [string, number]>, keyOf: (row: string) => string) {
    for (const [row, times] of changes) {
      if (times < 0) this.gone.set(row, -times)
      if (times > 0) this.added.push({ key: keyOf(row), row, times })
    }
    this.added.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  }

  /** The next row of the query. What `emit` is given are rows that are there. */
  take(key: string, row: string, emit: (row: string) => void): void {
    this.emitBefore(key, emit)
    const gone = this.gone.get(row)
    if (gone === undefined) return emit(row)
    if (gone === 1) this.gone.delete(row)
    else this.gone.set(row, gone - 1)
  }

  /** No more come. */
  end(emit: (row: string) => void): void {
    this.emitBefore(undefined, emit)
  }

  private emitBefore(key: string | undefined, emit: (row: string) => void): void {
    for (;;) {
      const first = this.added[this.next]
      if (first === undefined || (key !== undefined && first.key >= key)) return
      this.next++
      for (let n = first.times; n > 0; n--) emit(first.row)
    }
  }
}
