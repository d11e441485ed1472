import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import { beforeAll, type LogOffset } from "../../shapes/LogOffset.ts"
import { type ShapeHandle, type ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { HeldRows } from "./HeldRows.ts"
import { MessageTexts } from "../../storage/records/MessageTexts.ts"
import type { Pace } from "./Pace.ts"
import type { RowLayout } from "./RowLayout.ts"

/** A message of a log. Those that control readers have no row, and first rows no LSN. */
interface LogMessage {
  readonly key?: string
  readonly value?: Readonly<Record<string, unknown>>
  readonly headers: { readonly operation?: string; readonly lsn?: string; readonly op_position?: number }
}

/** What a reader holds after a message: the rule of the protocol, as clients follow it. */
const foldMessage = (held: HeldRows, shape: number, layout: RowLayout, message: LogMessage): void => {
  const { headers, key, value } = message
  if (key === undefined || value === undefined || headers.operation === undefined) return
  if (headers.operation === "delete") return held.remove(shape, key)
  const before = headers.operation === "update" ? held.get(shape, key) : undefined
  const row = layout.packValue(value, key, before, headers.operation === "insert")
  // Nothing is known of a row that was changed and is not held: it counts as not held, and comes again whole.
  if (row === undefined) held.remove(shape, key)
  else held.put(shape, key, row)
}

/** Bytes of a log that are folded before everything else has its turn: a few milliseconds of work. */
const bytesPerTurn = 32 * 1024

const othersTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface ReadOptions {
  /** Nothing of a transaction that commits here, or behind it, is read; the end of the log otherwise. */
  readonly before?: Lsn | undefined
  readonly pace?: Pace
}

/** Folds the log of a shape to the rows that a reader there holds. False where the shape is gone meanwhile. */
export const foldLog = (
  logs: Pick<ShapeLogs["Service"], "read">,
  shape: ShapeHandle,
  layout: RowLayout,
  held: HeldRows,
  options: ReadOptions = {}
): Effect.Effect<boolean, ShapeReadError> =>
  readMessages(logs, shape, (message) => foldMessage(held, shape.id, layout, message), options)

/** Reads the messages of a shape from its first row on. False where the shape is gone meanwhile. */
export const readMessages = (
  logs: Pick<ShapeLogs["Service"], "read">,
  shape: ShapeHandle,
  onMessage: (message: LogMessage) => void,
  { before, pace }: ReadOptions = {}
): Effect.Effect<boolean, ShapeReadError> =>
  Effect.gen(function* () {
    let after: LogOffset = beforeAll
    while (true) {
      const read = yield* logs.read(shape, after)
      if (read._tag !== "Slice") return false
      const { body, next, upToDate } = read
      const texts = new MessageTexts()
      let isBeyond = false
      const take = async (piece: Uint8Array) => {
        for (let at = 0; at < piece.length && !isBeyond; at += bytesPerTurn) {
          let count = 0
          for (const text of texts.of(piece.subarray(at, at + bytesPerTurn))) {
            const message = JSON.parse(text) as LogMessage
            const { lsn } = message.headers
            isBeyond = before !== undefined && lsn !== undefined && BigInt(lsn) >= before
            if (isBeyond) break
            onMessage(message)
            count++
          }
          await othersTurn()
          await pace?.took(count)
        }
      }
      yield* Effect.tryPromise({
        try: async () => {
          if (body instanceof Uint8Array) return take(body)
          for await (const piece of body()) {
            await take(piece)
            if (isBeyond) return
          }
        },
        catch: (cause) =>
          cause instanceof ShapeReadError
            ? cause
            : new ShapeReadError({
                handle: shape.handle,
                message: `a message of it is none: ${String(cause)}`
              })
      })
      if (upToDate || isBeyond) return true
      after = next
      yield* Effect.yieldNow
    }
  })
