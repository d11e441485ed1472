import { Effect } from "effect"
import type { ShapeStore } from "../../storage/state/ShapeStore.ts"
import { FirstOf, isListed, type ShapeQuery } from "../reports/ShapeQuery.ts"
import { type ShapeRow, shapeRow } from "../reports/ShapeRow.ts"

/** How many requests wait for changes of shapes in other processes. */
type ReadersOf = (shapes: Uint32Array) => Effect.Effect<Uint32Array>

/** A page of the list of shapes. */
export interface ShapePage {
  readonly total: number
  /** How many of them are listed, on all pages together. */
  readonly matching: number
  readonly page: number
  readonly limit: number
  readonly shapes: ReadonlyArray<ShapeRow>
}

/** Looked at before other work gets its turn: some milliseconds. */
const shapesPerTurn = 1000

/** Looks at every shape, a thousand at a time: however many there are, requests for shapes are answered meanwhile. */
export const listShapes = (
  store: ShapeStore,
  query: ShapeQuery,
  readersOf: ReadersOf
): Effect.Effect<ShapePage> =>
  Effect.gen(function* () {
    const first = new FirstOf(query)
    let seen = 0
    for (const shape of store.all()) {
      if (isListed(shape, query)) first.offer(shape)
      if (++seen % shapesPerTurn === 0) yield* nextTurn
    }
    const shown = first.page(query)
    const elsewhere = yield* readersOf(Uint32Array.from(shown, ({ id }) => id))
    return {
      total: store.count,
      matching: first.count,
      page: query.page,
      limit: query.pageSize,
      shapes: shown.map((shape, i) => shapeRow(shape, elsewhere[i]))
    }
  })

const nextTurn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
