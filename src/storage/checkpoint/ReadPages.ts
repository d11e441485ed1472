import type { DatabaseSync } from "node:sqlite"
import type { DefinitionTemplate } from "../../shapes/InternDefinition.ts"
import { packDefinition } from "../../shapes/PackedDefinition.ts"
import { handleIn, idIn, templateIn } from "../state/DormantRecord.ts"
import { pageChecksum, visitPage } from "./CheckpointPage.ts"
import { rowOfValues } from "./CheckpointRow.ts"
import type { ReadShapes } from "./ReadShapes.ts"

/** Reads the shapes of a checkpoint that has them in pages. Gives how many it has read, in each step. */
export const readPages = function* (db: DatabaseSync, read: ReadShapes): Generator<number, undefined> {
  const pages = new Pages(read)
  const rows = db.prepare("SELECT key, body, crc FROM pages")
  rows.setReturnArrays(true)
  for (const [key, body, crc] of rows.iterate() as unknown as Iterable<ReadonlyArray<unknown>>) {
    // What is of another kind is not what was written.
    yield body instanceof Uint8Array ? pages.read(Number(key), body, crc) : 1
  }
  return undefined
}

class Pages {
  private readonly shapes: ReadShapes
  private readonly templates = new Map<number, DefinitionTemplate>()
  private body: Buffer = Buffer.alloc(0)
  private count = 0

  constructor(shapes: ReadShapes) {
    this.shapes = shapes
  }

  read(key: number, body: Uint8Array, crc: unknown): number {
    this.body = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    this.count = 1
    visitPage(this.body, pageChecksum(key, body) === crc, this.visit)
    return this.count
  }

  private readonly visit = (start: number, length: number, isText: boolean): void => {
    this.count++
    if (isText) this.readText(start, length)
    else this.readRecord(start, length)
  }

  private readRecord(start: number, length: number): void {
    const { body, shapes } = this
    // A pointer that has become another one gives a page twice, and the page that it pointed to not at all.
    if (shapes.known.get(idIn(body, start)) !== undefined) return
    const template = this.templateOf(templateIn(body, start))
    if (template === undefined) shapes.damaged.add(handleIn(body, start))
    else shapes.known.addStored(body, start, length, template)
  }

  private templateOf(number: number): DefinitionTemplate | undefined {
    const known = this.templates.get(number)
    if (known !== undefined) return known
    const definition = this.shapes.definitions.get(number)
    if (definition === undefined) return undefined
    const { template } = packDefinition(definition)
    this.templates.set(number, template)
    return template
  }

  private readText(start: number, length: number): void {
    const { body, shapes } = this
    const row = rowOfValues(JSON.parse(body.toString("utf8", start, start + length)) as Array<unknown>)
    const common = shapes.definitions.get(row.definition)
    if (shapes.known.get(row.id) !== undefined) return
    if (common === undefined) shapes.damaged.add(row.handle)
    else shapes.add(row, common)
  }
}
