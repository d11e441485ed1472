/** Shapes found for a row; reused from row to row. */
export interface MatchList {
  /** The first `count` entries are the shapes whose clause is true, each once, in no particular order. */
  ids: Uint32Array
  count: number
  /** Shapes whose evaluation ends in an error that Postgres would raise too. */
  readonly errors: Array<{ readonly shapeId: number; readonly message: string }>
  /** Shapes for which only Postgres can tell. */
  readonly undecided: Array<number>
  /** Shapes whose evaluation has come to cost too much, this row's included: they are to be dropped. */
  readonly costly: Array<{ readonly shapeId: number; readonly message: string }>
}

export const makeMatchList = (capacity = 64): MatchList => ({
  ids: new Uint32Array(capacity),
  count: 0,
  errors: [],
  undecided: [],
  costly: []
})

export const clearMatchList = (list: MatchList): void => {
  list.count = 0
  // Setting the length of an array costs more than looking at it, and these are nearly always empty.
  if (list.errors.length > 0) list.errors.length = 0
  if (list.undecided.length > 0) list.undecided.length = 0
  if (list.costly.length > 0) list.costly.length = 0
}

export const pushMatch = (list: MatchList, shapeId: number): void => {
  if (list.count === list.ids.length) {
    const grown = new Uint32Array(list.ids.length * 2)
    grown.set(list.ids)
    list.ids = grown
  }
  list.ids[list.count++] = shapeId
}
