import type { LogFile, Notice, SnapshotVisibility } from "./Records.ts"

const visibleStart = Buffer.from('{"t":"visible","id":')
const completeStart = Buffer.from('{"t":"complete","id":')
const completeMiddle = Buffer.from(',"chunks":')
const movedStart = Buffer.from('{"t":"moved","segment":')
const movedShapes = Buffer.from(',"shapes":[')
const movedId = Buffer.from('{"id":')
const movedIndex = Buffer.from(',"files":[],"chunks":[{"index":')
const movedBytes = Buffer.from(',"bytes":')
const movedCrc = Buffer.from(',"crc":')
const movedShapeEnd = Buffer.from("}]}")
const movedEnd = Buffer.from("]}")
const comma = 0x2c
const noFiles: ReadonlyArray<LogFile> = []
const zero = 0x30
const closingBrace = 0x7d
/** A whole number with more digits may not be exact. */
const mostDigits = 15

const stands = (expected: Buffer, payload: Buffer, at: number): boolean => {
  if (payload.length - at < expected.length) return false
  for (let i = 0; i < expected.length; i++) if (payload[at + i] !== expected[i]) return false
  return true
}

type Moved = Extract<Notice, { t: "moved" }>

/**
 * Reads the notices that stand in the journal once for every shape without a JSON parser, as long as they look exactly as
 * this service writes them. Shapes that are made at the same time have the same snapshot: it is parsed once, and shared.
 */
export class FrequentNotices {
  /** What stood behind the id in the last notice of a snapshot, and what it said. */
  private rest: Buffer = Buffer.alloc(0)
  private visibility: SnapshotVisibility | undefined
  /** Behind the digits that `number` has read. */
  private end = 0

  /** `undefined` for all others, which a JSON parser has to read. */
  decode(payload: Buffer): Notice | undefined {
    if (stands(completeStart, payload, 0)) return this.complete(payload)
    if (stands(movedStart, payload, 0)) return this.moved(payload)
    if (this.visibility === undefined || !stands(visibleStart, payload, 0)) return undefined
    const id = this.number(payload, visibleStart.length)
    const isSame = payload.length - this.end === this.rest.length && stands(this.rest, payload, this.end)
    return id < 0 || !isSame ? undefined : { t: "visible", id, visibility: this.visibility }
  }

  /** What a JSON parser has read: the next one may be like it. */
  remember(payload: Buffer, notice: Notice): void {
    if (notice.t !== "visible" || !stands(visibleStart, payload, 0)) return
    if (this.number(payload, visibleStart.length) !== notice.id) return
    this.rest = Buffer.from(payload.subarray(this.end))
    this.visibility = notice.visibility
  }

  private complete(payload: Buffer): Notice | undefined {
    const id = this.number(payload, completeStart.length)
    if (id < 0 || !stands(completeMiddle, payload, this.end)) return undefined
    const chunks = this.number(payload, this.end + completeMiddle.length)
    const isWhole = this.end === payload.length - 1 && payload[this.end] === closingBrace
    return chunks < 0 || !isWhole ? undefined : { t: "complete", id, chunks }
  }

  /** Of shapes that had nothing in the journal but first rows: very many of them stand in one notice. */
  private moved(payload: Buffer): Notice | undefined {
    const segment = this.number(payload, movedStart.length)
    if (segment < 0 || !stands(movedShapes, payload, this.end)) return undefined
    const shapes: Array<Moved["shapes"][number]> = []
    let at = this.end + movedShapes.length
    for (;;) {
      const id = this.numberBehind(movedId, payload, at)
      const index = this.numberBehind(movedIndex, payload, this.end)
      const bytes = this.numberBehind(movedBytes, payload, this.end)
      const crc = this.numberBehind(movedCrc, payload, this.end)
      if (id < 0 || index < 0 || bytes < 0 || crc < 0 || !stands(movedShapeEnd, payload, this.end))
        return undefined
      shapes.push({ id, files: noFiles, chunks: [{ index, bytes, crc }] })
      at = this.end + movedShapeEnd.length
      if (payload[at] !== comma) break
      at++
    }
    const isWhole = at + movedEnd.length === payload.length && stands(movedEnd, payload, at)
    return isWhole ? { t: "moved", segment, shapes } : undefined
  }

  private numberBehind(expected: Buffer, payload: Buffer, at: number): number {
    if (stands(expected, payload, at)) return this.number(payload, at + expected.length)
    this.end = payload.length
    return -1
  }

  /** The whole number that stands there, -1 when there is none. */
  private number(payload: Buffer, at: number): number {
    let value = 0
    let i = at
    for (; i < payload.length && i - at < mostDigits; i++) {
      const digit = (payload[i] ?? 0) - zero
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    this.end = i
    return i === at ? -1 : value
  }
}
