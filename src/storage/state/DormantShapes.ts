import type { DefinitionTemplate } from "../../shapes/InternDefinition.ts"
import type { PackedDefinition } from "../../shapes/PackedDefinition.ts"
import { asleep, type EntryAt, receiveIn } from "./AsleepEntries.ts"
import * as packed from "./DormantRecord.ts"
import type { ShapeFields } from "./ShapeFields.ts"
import { FirstTails, type ShapeTail } from "./ShapeTail.ts"

const unitBytes = 8
const slabUnitBits = 17
const unitsPerSlab = 1 << slabUnitBits
const slabBytes = unitsPerSlab * unitBytes
/** Longer records are not kept: their shapes stay awake. */
const mostUnits = 0xffff
/**
 * Nor are those with more files in their logs: each time that some of a log moves out of the journal, a record is read and written
 * whole. As long a log takes so much room on disk that there are few.
 */
const mostFiles = 256

/**
 * The records of dormant shapes (`DormantRecord.ts`), in large pieces of memory outside of V8's heap. Each stands at a place, a
 * number, until it is removed; its room is used again for the next one of its size.
 */
export class DormantShapes {
  count = 0
  /** For those that are given changes. */
  readonly tails = new FirstTails()
  private readonly slabs: Array<Buffer> = []
  /** The first unit that nothing has stood at. */
  private end = 0
  private readonly free = new Map<number, Array<number>>()
  private readonly templates: Array<DefinitionTemplate | undefined> = []
  private readonly uses: Array<number> = []
  private readonly numbers = new Map<DefinitionTemplate, number>()
  private readonly freeNumbers: Array<number> = []
  /** What was looked at last: whoever looks asks for one thing after the other. */
  private seenPlace = -1
  private seen: ShapeFields | undefined

  /** Bytes that records have, and those that nothing uses. */
  get bytes(): number {
    return this.slabs.length * slabBytes
  }

  /** A number for a template, for as long as a record has it: `add` counts. */
  numberOf(template: DefinitionTemplate): number {
    const known = this.numbers.get(template)
    if (known !== undefined) return known
    const number = this.freeNumbers.pop() ?? this.templates.length
    this.templates[number] = template
    this.uses[number] = 0
    this.numbers.set(template, number)
    return number
  }

  templateAt(place: number): DefinitionTemplate {
    const template = this.templates[packed.templateIn(this.slab(place), this.start(place))]
    if (template === undefined) throw new Error("A dormant shape has no definition. This is a bug.")
    return template
  }

  /** Where the record is from now on; `undefined` where it is too long. */
  add(record: Buffer): number | undefined {
    return this.keep(record, 0, record.length, packed.templateIn(record, 0))
  }

  /** The same for the record of a shape, which may also be in use. */
  addShape(
    id: number,
    fields: ShapeFields,
    tail: ShapeTail | undefined,
    bytes: packed.FileBytes
  ): number | undefined {
    if (fields.files.length > mostFiles) return undefined
    const record = packed.writeShape(id, this.numberOf(fields.template), fields, tail, bytes)
    const place = record === undefined ? undefined : this.add(record)
    if (place === undefined) this.releaseUnused(fields.template)
    return place
  }

  /** The same for one that stands among other bytes, and whose template has another number there. */
  addStored(bytes: Buffer, at: number, length: number, template: DefinitionTemplate): number | undefined {
    const number = this.numberOf(template)
    const place = this.keep(bytes, at, length, number)
    if (place === undefined) this.releaseUnused(template)
    else packed.setTemplateIn(this.slab(place), this.start(place), number)
    return place
  }

  private keep(from: Buffer, at: number, length: number, template: number): number | undefined {
    const units = Math.ceil(length / unitBytes)
    if (units > mostUnits) return undefined
    const place = this.free.get(units)?.pop() ?? this.extend(units)
    const slab = this.slab(place)
    const start = this.start(place)
    from.copy(slab, start, at, at + length)
    packed.setUnitsIn(slab, start, units)
    this.uses[template] = (this.uses[template] ?? 0) + 1
    this.count++
    return place
  }

  private extend(units: number): number {
    if ((this.end % unitsPerSlab) + units > unitsPerSlab || this.end === this.slabs.length * unitsPerSlab) {
      this.end = this.slabs.length * unitsPerSlab
      this.slabs.push(Buffer.allocUnsafeSlow(slabBytes))
    }
    const place = this.end
    this.end += units
    return place
  }

  remove(place: number): void {
    const slab = this.slab(place)
    const start = this.start(place)
    if (place === this.seenPlace) this.forgetSeen()
    const number = packed.templateIn(slab, start)
    const uses = (this.uses[number] ?? 0) - 1
    this.uses[number] = uses
    if (uses === 0) this.forgetTemplate(number)
    if (--this.count === 0) return this.clear()
    const units = packed.unitsIn(slab, start)
    const places = this.free.get(units)
    if (places === undefined) this.free.set(units, [place])
    else places.push(place)
  }

  private forgetTemplate(number: number): void {
    const template = this.templates[number]
    if (template !== undefined) this.numbers.delete(template)
    this.templates[number] = undefined
    this.freeNumbers.push(number)
  }

  /** A record with this template was not added after all. */
  releaseUnused(template: DefinitionTemplate): void {
    const number = this.numbers.get(template)
    if (number !== undefined && this.uses[number] === 0) this.forgetTemplate(number)
  }

  /** Nothing is dormant: all memory is given back. */
  private clear(): void {
    this.slabs.length = 0
    this.free.clear()
    this.end = 0
  }

  private forgetSeen(): void {
    this.seenPlace = -1
    this.seen = undefined
  }

  /** All that a record says, in an object that is the caller's once the record is removed, and to be looked at before. */
  look(place: number, tail: ShapeTail | undefined): ShapeFields {
    if (place === this.seenPlace && this.seen !== undefined) return this.seen
    this.seen = packed.readShape(this.slab(place), this.start(place), this.templateAt(place), tail)
    this.seenPlace = place
    return this.seen
  }

  handleMicrosAt(place: number): number | undefined {
    return packed.handleMicrosIn(this.slab(place), this.start(place))
  }
  isWithoutLogAt(place: number): boolean {
    return packed.isWithoutLog(this.slab(place), this.start(place))
  }
  endsWithTailAt(place: number): boolean {
    return packed.endsWithTailIn(this.slab(place), this.start(place))
  }
  /** See `ShapeState.receiveAsleep`; `tail` is its tail, or an empty one. */
  receive(place: number, tail: ShapeTail, entry: EntryAt): number {
    const became = receiveIn(this.slab(place), this.start(place), tail, entry)
    if (became >= asleep.first && place === this.seenPlace) this.forgetSeen()
    return became
  }
  handleAt(place: number): string {
    return packed.handleIn(this.slab(place), this.start(place))
  }
  identityAt(place: number): string {
    return packed.identityIn(this.slab(place), this.start(place))
  }
  definitionAt(place: number): PackedDefinition {
    return {
      template: this.templateAt(place),
      ...packed.definitionIn(this.slab(place), this.start(place))
    }
  }
  hasSqlAt(place: number): boolean {
    return packed.hasSqlIn(this.slab(place), this.start(place))
  }
  createdAt(place: number): number {
    return packed.createdIn(this.slab(place), this.start(place))
  }
  lastUsedAt(place: number): number {
    return packed.lastUsedIn(this.slab(place), this.start(place))
  }
  setLastUsed(place: number, millis: number): void {
    packed.setLastUsedIn(this.slab(place), this.start(place), millis)
    if (place === this.seenPlace) this.forgetSeen()
  }
  isDirtyAt(place: number): boolean {
    return packed.isDirtyIn(this.slab(place), this.start(place))
  }
  setDirty(place: number, dirty: boolean): void {
    packed.setDirtyIn(this.slab(place), this.start(place), dirty)
    if (place === this.seenPlace) this.forgetSeen()
  }
  hasHistoryAt(place: number): boolean {
    return packed.hasHistoryIn(this.slab(place), this.start(place))
  }
  mayStandInJournal(place: number): boolean {
    return packed.hasChunksInJournalIn(this.slab(place), this.start(place))
  }
  fileBytesAt(place: number): packed.FileBytes {
    return packed.fileBytesIn(this.slab(place), this.start(place))
  }

  private slab(place: number): Buffer {
    // Only places that `add` has given are asked about.
    return this.slabs[place >>> slabUnitBits] as Buffer
  }

  private start(place: number): number {
    return (place & (unitsPerSlab - 1)) * unitBytes
  }
}
