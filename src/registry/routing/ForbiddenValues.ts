import { columnText, nullLength, type Tuple } from "../../postgres/Tuple.ts"
import { notNullColumns, onceNumbers } from "../../shapes/NotNullColumns.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"

type Told = Pick<ShapeDefinition, "columns" | "earlierHeaders" | "tableColumns">

/** Every number with fewer characters is an exact one to JavaScript. */
const exactLength = 15

const isNull = (row: Tuple, at: number): boolean => row.lengths[at] === nullLength

const isInexact = (row: Tuple, at: number): boolean =>
  (row.lengths[at] ?? 0) > exactLength && !Number.isSafeInteger(Number(columnText(row, at)))

/**
 * Values in rows of one form which clients of some shapes cannot take, as they hold a header of before: a NULL in a column that was NOT
 * NULL, at which official clients fail for good, and a `bigint` in one that was a smaller number, which they would round.
 */
export class ForbiddenValues {
  private readonly names: ReadonlyArray<string>
  /** By column: how many shapes have clients that were told so. */
  private readonly notNull: Uint32Array
  private readonly numbers: Uint32Array
  /** Those of which some do. */
  private notNullIndexes: ReadonlyArray<number> = []
  private numberIndexes: ReadonlyArray<number> = []

  /** `names`: of the columns, in the order of the rows. */
  constructor(names: ReadonlyArray<string>) {
    this.names = names
    this.notNull = new Uint32Array(names.length)
    this.numbers = new Uint32Array(names.length)
  }

  add(shape: Told): void {
    this.count(shape, 1)
  }

  remove(shape: Told): void {
    this.count(shape, -1)
  }

  private count(shape: Told, by: 1 | -1): void {
    if (this.countIn(this.notNull, notNullColumns(shape), by)) this.notNullIndexes = used(this.notNull)
    if (this.countIn(this.numbers, onceNumbers(shape), by)) this.numberIndexes = used(this.numbers)
  }

  /** Whether others are used than before. */
  private countIn(counts: Uint32Array, names: ReadonlyArray<string>, by: 1 | -1): boolean {
    let isAnother = false
    for (const name of names) {
      const at = this.names.indexOf(name)
      const before = counts[at] as number
      counts[at] = before + by
      isAnother ||= before === 0 || before + by === 0
    }
    return isAnother
  }

  /** Clients of some shape cannot take the row. */
  isIn(row: Tuple): boolean {
    const { notNullIndexes, numberIndexes } = this
    for (let i = 0; i < notNullIndexes.length; i++) if (isNull(row, notNullIndexes[i] as number)) return true
    for (let i = 0; i < numberIndexes.length; i++) if (isInexact(row, numberIndexes[i] as number)) return true
    return false
  }

  /** Why those of this shape cannot, if so, in words for operators. */
  whyFor(shape: Told, row: Tuple): string | undefined {
    const missing = notNullColumns(shape).find((name) => isNull(row, this.names.indexOf(name)))
    if (missing !== undefined)
      return `the column ${missing} of its table was NOT NULL when clients were told of it, and has NULLs now`
    const large = onceNumbers(shape).find((name) => isInexact(row, this.names.indexOf(name)))
    return large === undefined
      ? undefined
      : `the column ${large} of its table was no bigint when clients were told of it, and has a value now that they would round`
  }
}

const used = (counts: Uint32Array): ReadonlyArray<number> =>
  Array.from(counts.keys()).filter((at) => counts[at] !== 0)
