import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { isStoredExpression } from "../../where/index.ts"
import { FrequentNotices } from "./FrequentNotices.ts"
import { internDefinition, templateOf } from "../../shapes/InternDefinition.ts"
import { type CreatedLike, decodeNotice, encodeNotice, type Notice } from "./Records.ts"

/**
 * Shapes differ from each other in the constants of their clause most of the time: a segment of the journal holds the
 * rest of a definition once. Each segment can be read by itself.
 */
export class CreatedEncoder {
  private segment = -1
  private readonly numbers = new Map<object, number>()

  /** The notice as it is to stand in the segment. */
  encode(notice: Notice, segment: number): Buffer {
    if (notice.t !== "created") return encodeNotice(notice)
    if (segment !== this.segment) {
      this.segment = segment
      this.numbers.clear()
    }
    const definition = internDefinition(notice.definition)
    const template = templateOf(definition)
    if (template === undefined) return encodeNotice(notice)
    const known = this.numbers.get(template)
    if (known === undefined) {
      const number = this.numbers.size + 1
      this.numbers.set(template, number)
      return encodeNotice({ ...notice, definition, number })
    }
    const { atMillis, handle, id } = notice
    const { where } = definition
    const own =
      where === undefined || !isStoredExpression(where.expression)
        ? {}
        : { sql: where.sql, constants: where.expression.constants }
    return encodeNotice({ t: "createdLike", id, handle, atMillis, like: known, ...own })
  }
}

/** Reads what `CreatedEncoder` has written, from the beginning of a segment on. */
export class CreatedDecoder {
  private readonly definitions = new Map<number, ShapeDefinition>()
  private readonly frequent = new FrequentNotices()

  beginSegment(): void {
    this.definitions.clear()
  }

  /** A shape that stands in a record of which the one it refers to was damaged is gone: nobody knows what it was. */
  decode(payload: Buffer): Notice {
    const known = this.frequent.decode(payload)
    if (known !== undefined) return known
    const notice = decodeNotice(payload)
    if (notice.t === "createdLike") return this.whole(notice)
    this.frequent.remember(payload, notice)
    if (notice.t === "created" && notice.number !== undefined)
      this.definitions.set(notice.number, internDefinition(notice.definition))
    return notice
  }

  private whole({ atMillis, constants, handle, id, like, sql }: CreatedLike): Notice {
    const model = this.definitions.get(like)
    if (model === undefined) return { t: "dropped", ids: [id], reason: "its definition was damaged on disk" }
    const { where } = model
    if (where === undefined || sql === undefined || constants === undefined)
      return { t: "created", id, handle, definition: model, atMillis }
    const expression = Object.assign({}, where.expression, { constants })
    const definition = { ...model, where: { ...where, sql, expression } }
    return { t: "created", id, handle, definition, atMillis }
  }
}
