import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { KnownShapes } from "../state/KnownShapes.ts"
import { type ShapeRow, shapeOf } from "./CheckpointRow.ts"

/** What has been read of a checkpoint: all of its definitions that are sound, and shapes so far. */
export class ReadShapes {
  readonly known = new KnownShapes()
  /** Handles of shapes that are not what was written; they are left out. */
  readonly damaged = new Set<string>()
  readonly definitions: ReadonlyMap<number, ShapeDefinition>
  private readonly chunkBytesThreshold: number

  constructor(definitions: ReadonlyMap<number, ShapeDefinition>, chunkBytesThreshold: number) {
    this.definitions = definitions
    this.chunkBytesThreshold = chunkBytesThreshold
  }

  /** A shape that is to be dormant like all others. What follows from its files is found out first. */
  add(row: ShapeRow, common: ShapeDefinition): void {
    const shape = shapeOf(row, common)
    shape.recount(this.chunkBytesThreshold)
    shape.sleep(this.known.dormant)
    this.known.addRead(shape, row.handle, row.identity)
  }
}
