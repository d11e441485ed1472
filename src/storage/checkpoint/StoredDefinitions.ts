import type { DatabaseSync, StatementSync } from "node:sqlite"
import type { ClauseForm, DefinitionTemplate } from "../../shapes/InternDefinition.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { textChecksum } from "./CheckpointRow.ts"

/** Definitions that no shape has any more stay in the file until there are so many more than it began with. */
const slack = 1000

const withForm = (common: ShapeDefinition, { clause, expression }: ClauseForm): ShapeDefinition => ({
  ...common,
  where: { sql: "", expression: { ...expression, constants: [] }, ...clause }
})

/**
 * The definitions in a checkpoint that its shapes refer to by numbers: without their clauses, or, for shapes in pages, with one that has
 * neither its text nor its constants.
 */
export class StoredDefinitions {
  private readonly putDefinition: StatementSync
  private readonly numbers = new Map<string, number>()
  private readonly templates = new WeakMap<DefinitionTemplate, number>()
  private atFirst: number | undefined
  private last = 0

  constructor(db: DatabaseSync) {
    this.putDefinition = db.prepare("INSERT INTO definitions VALUES (?, ?, ?)")
  }

  /** Without its clause. */
  numberOf(definition: ShapeDefinition): number {
    const json = JSON.stringify({ ...definition, where: undefined })
    const known = this.numbers.get(json)
    if (known !== undefined) return known
    const number = this.put(json)
    this.numbers.set(json, number)
    return number
  }

  /** `undefined` where the template holds a clause of no form, which is that of one shape. */
  numberOfTemplate(template: DefinitionTemplate): number | undefined {
    const known = this.templates.get(template)
    if (known !== undefined) return known
    const { common, form } = template
    if (form === undefined && common.where !== undefined) return undefined
    const number =
      form === undefined ? this.numberOf(common) : this.put(JSON.stringify(withForm(common, form)))
    this.templates.set(template, number)
    return number
  }

  private put(json: string): number {
    const number = ++this.last
    this.putDefinition.run(number, json, textChecksum(number, json))
    return number
  }

  /** Those of all shapes are there. */
  wroteAll(): void {
    this.atFirst ??= this.last
  }

  /** Most of them may be of shapes that are gone: the next checkpoint is to begin anew. */
  get isOutgrown(): boolean {
    return this.atFirst !== undefined && this.last > 2 * this.atFirst + slack
  }
}
