import { aboveLimit, type Limits } from "../config/Limits.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { memoryOf } from "../where/index.ts"

interface Conditioned {
  readonly id: number
  readonly definition: Pick<ShapeDefinition, "where">
}

/** Conditions that take less are bounded by the number of shapes. */
const ordinaryBytes = 4096

const bytesOf = (definition: Pick<ShapeDefinition, "where">): number =>
  definition.where === undefined ? 0 : memoryOf(definition.where)

/** What the large conditions of all live shapes take in memory together, by estimate. */
export class ConditionsMemory {
  private readonly limits: Limits
  private readonly byShape = new Map<number, number>()
  private bytes = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  add({ definition, id }: Conditioned): void {
    const bytes = bytesOf(definition)
    if (bytes <= ordinaryBytes || this.byShape.has(id)) return
    this.byShape.set(id, bytes)
    this.bytes += bytes
  }

  remove(id: number): void {
    const bytes = this.byShape.get(id)
    if (bytes === undefined) return
    this.byShape.delete(id)
    this.bytes -= bytes
  }

  /** Why there is no room for another shape's condition, if there is none. */
  refusal(definition: Pick<ShapeDefinition, "where">): string | undefined {
    const more = bytesOf(definition)
    const total = this.bytes + more
    return more > ordinaryBytes && total > this.limits.conditionsMemory
      ? aboveLimit("conditionsMemory", this.limits, total)
      : undefined
  }
}
