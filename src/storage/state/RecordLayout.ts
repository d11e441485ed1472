import { type KnownSnapshot, snapshotIn } from "./KnownSnapshot.ts"

/**
 * A dormant shape, as bytes: what `ShapeFields` says, without what only a shape in use has. Pages of a checkpoint hold them as well
 * (`StoredRecord.ts`): what a change of the layout makes unreadable takes another number in `CheckpointPage.ts`.
 *
 * A head of a fixed size holds what looks at all shapes ask for, so that these make no objects. Behind it stand texts, each
 * with its length before it, in the order in which `writeShape` in `DormantRecord.ts` writes them.
 */
export const at = {
  id: 0,
  template: 4,
  flags: 8,
  kinds: 9,
  /** What the record occupies, in units of `DormantShapes`. */
  units: 10,
  lastUsed: 12,
  created: 20,
  rowFileBytes: 28,
  logFileBytes: 36,
  handleHash: 44,
  handleMicros: 48,
  identity: 56,
  rest: 74
} as const

export const flag = {
  complete: 1,
  dirty: 2,
  filters: 4,
  hasSnapshot: 8,
  hasSql: 16,
  endsWithFiles: 32,
  endsWithTail: 64
} as const
export const kind = {
  chunks: 3,
  hasFiles: 4,
  hasCompaction: 8,
  handleIsText: 16,
  identityIsText: 32,
  constantsAreList: 64
} as const
export const chunksOf = { none: 0, oneFile: 1, oneInJournal: 2, list: 3 } as const

/** Where in a record something begins. */
export class Cursor {
  private readonly bytes: Buffer
  private next: number
  constructor(bytes: Buffer, next: number) {
    this.bytes = bytes
    this.next = next
  }

  number(): number {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.bytes[this.next++] as number
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }

  double(): number {
    this.next += 8
    return this.bytes.readDoubleLE(this.next - 8)
  }

  text(): string {
    const length = this.number()
    this.next += length
    return this.bytes.toString("utf8", this.next - length, this.next)
  }

  /** Goes past a number, or past a text without making one. */
  skipNumber(): void {
    while ((this.bytes[this.next++] as number) >= 0x80);
  }
  skipText(): void {
    const length = this.number()
    this.next += length
  }
  /** Where the text ends that begins here; goes past it. */
  textEnd(): number {
    this.skipText()
    return this.next
  }

  snapshot(): KnownSnapshot {
    const length = this.number()
    this.next += length
    return snapshotIn(this.bytes, this.next - length, this.next)
  }
}
