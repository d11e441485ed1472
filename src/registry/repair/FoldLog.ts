import { Effect } from "effect"
import { beforeAll, type LogOffset } from "../../shapes/LogOffset.ts"
import { type ShapeHandle, type ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { HeldRows } from "./HeldRows.ts"
import { MessageTexts } from "./MessageTexts.ts"
import type { RowLayout } from "./RowLayout.ts"

/** A message of a log. Those that control readers have no row. */
interface LogMessage {
  readonly key?: string
  readonly value?: Readonly<Record<string, unknown>>
  readonly headers: { readonly operation?: string }
}

/** What a reader holds after a message: the rule of the protocol, as clients follow it. */
const foldMessage = (held: HeldRows, shape: number, layout: RowLayout, message: LogMessage): void => {
  const { headers, key, value } = message
  if (key === undefined || value === undefined || headers.operation === undefined) return
  if (headers.operation === "delete") return held.remove(shape, key)
  const before = headers.operation === "update" ? held.get(shape, key) : undefined
  const row = layout.packValue(value, key, before)
  // Nothing is known of a row that was changed and is not held: it counts as not held, and comes again whole.
  if (row === undefined) held.remove(shape, key)
  else held.put(shape, key, row)
}

/** Folds the log of a shape to the rows that a reader at its end holds. False where the shape is gone meanwhile. */
export const foldLog = (
  logs: Pick<ShapeLogs["Service"], "read">,
  shape: ShapeHandle,
  layout: RowLayout,
  held: HeldRows
): Effect.Effect<boolean, ShapeReadError> =>
  Effect.gen(function* () {
    let after: LogOffset = beforeAll
    while (true) {
      const read = yield* logs.read(shape, after)
      if (read._tag !== "Slice") return false
      const { body, next, upToDate } = read
      const texts = new MessageTexts()
      const fold = (piece: Uint8Array) => {
        for (const text of texts.of(piece))
          foldMessage(held, shape.id, layout, JSON.parse(text) as LogMessage)
      }
      yield* Effect.tryPromise({
        try: async () => {
          if (body instanceof Uint8Array) fold(body)
          else for await (const piece of body()) fold(piece)
        },
        catch: (cause) =>
          cause instanceof ShapeReadError
            ? cause
            : new ShapeReadError({
                handle: shape.handle,
                message: `a message of it is none: ${String(cause)}`
              })
      })
      if (upToDate) return true
      after = next
      yield* Effect.yieldNow
    }
  })
