/** A row before and after an operation; `undefined` where there was none, or is none. */
export interface RowChange<Row> {
  readonly oldRow: Row | undefined
  readonly row: Row | undefined
}

/**
 * Rows as a multiset, which goes back and forth in time: rows that a query gave, without what some transactions have done to
 * them, or with it.
 *
 * The order of changes does not matter, since a row is known by all of its bytes and an old row comes whole. So the rows as of any
 * transaction follow from a query at a later snapshot, though it shows only some of the transactions around it: those
 * that it shows too many are undone, those that it lacks are done.
 *
 * A query may have left rows out by a condition over the row alone. Then the rows for which it holds are exact, whatever
 * changes are applied; the number of others means nothing (it may be negative), and `rows` has to be asked with care.
 */
export class RowsInTime<Row> {
  private readonly counts = new Map<Row, number>()
  private readonly onChange: ((row: Row, isThere: boolean) => void) | undefined

  /** `onChange` is told when the first of equal rows comes, or the last one goes. */
  constructor(onChange?: (row: Row, isThere: boolean) => void) {
    this.onChange = onChange
  }

  add(row: Row, times: number): void {
    const before = this.counts.get(row) ?? 0
    const after = before + times
    if (after === 0) this.counts.delete(row)
    else this.counts.set(row, after)
    if (before > 0 !== after > 0) this.onChange?.(row, after > 0)
  }

  apply({ oldRow, row }: RowChange<Row>): void {
    if (oldRow === row) return
    if (oldRow !== undefined) this.add(oldRow, -1)
    if (row !== undefined) this.add(row, 1)
  }

  /** All rows go. What was there before cannot be found out from what there is afterwards. */
  clear(): void {
    for (const [row, count] of this.counts) this.add(row, -count)
  }

  undo({ oldRow, row }: RowChange<Row>): void {
    this.apply({ oldRow: row, row: oldRow })
  }

  /** How many equal ones there are. */
  count(row: Row): number {
    return Math.max(0, this.counts.get(row) ?? 0)
  }

  /** Of each row, how many more or fewer than none; what that means where not all were read is said above. */
  entries(): Iterable<readonly [Row, number]> {
    return this.counts
  }

  get isEmpty(): boolean {
    return this.counts.size === 0
  }

  /** Those that are there, each once. */
  *rows(): Iterable<Row> {
    for (const [row, count] of this.counts) if (count > 0) yield row
  }
}
