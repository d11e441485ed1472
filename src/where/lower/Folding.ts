import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Form, FormColumn } from "../evaluate/Form.ts"
import type { Expression } from "../expression/Expression.ts"
import { columnsIn } from "../expression/References.ts"
import { codecOf } from "../values/Codecs.ts"
import { EvaluationError, Undecided } from "../values/Failure.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"
import { noZones, useZones } from "../zones/Zones.ts"
import { refuseAt } from "../WhereError.ts"
import { typeSpecOf } from "../resolve/TypeSpecs.ts"

/** Why a part of a clause is left to Postgres. Thrown up to the nearest condition. */
export class Foreign {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

export const foreign = (reason: string): never => {
  throw new Foreign(reason)
}

/** Longer results take more memory than it takes work to make them again. */
const maxFoldedText = 4096

/** The constants of a clause while it is lowered, and how calls over them are folded. */
export class Folding {
  readonly catalogue: TypeCatalogue
  readonly columns: Array<FormColumn> = []
  readonly types: Array<TypeSpec> = []
  readonly constants: Array<string> = []
  /** Slots that came from STABLE functions: for Postgres they are no constants while it plans. */
  readonly soft = new Set<number>()
  /** What may decide about what comes behind it, and is no constant here. */
  private readonly undecided: Array<Expression> = []
  /** Something was left open that Postgres may know to be a constant. */
  private leftOpen = false
  constructor(catalogue: TypeCatalogue) {
    this.catalogue = catalogue
  }

  spec(type: number): TypeSpec {
    return typeSpecOf(this.catalogue, type)
  }

  /** Takes note of what may decide about what comes behind it. */
  decisive(expression: Expression, form: Form): Form {
    if (!("b" in form) && !("k" in form)) this.undecided.push(expression)
    return form
  }

  /** Postgres may not come as far as this: it folds more than we do, and nothing behind a constant that decides. */
  private get isOpen(): boolean {
    return this.leftOpen || this.undecided.some((one) => columnsIn(one).length === 0)
  }

  slot(value: string, spec: TypeSpec): Form {
    try {
      codecOf(spec, undefined).read(value)
    } catch (failure) {
      if (failure instanceof Undecided) return foreign(failure.reason)
      throw failure
    }
    this.constants.push(value)
    this.types.push(spec)
    return { k: this.constants.length - 1 }
  }

  folded(form: Form, at: Expression, run: () => unknown, args: ReadonlyArray<Form>, immutable = true): Form {
    const soft = !immutable || args.some((arg) => "k" in arg && this.soft.has(arg.k))
    let value: unknown
    useZones(noZones)
    try {
      value = run()
    } catch (failure) {
      if (failure instanceof Undecided) {
        this.leftOpen = true
        return form
      }
      if (!(failure instanceof EvaluationError)) throw failure
      // Postgres folds only what is immutable: the others fail when they are reached, if they are.
      if (soft) return form
      if (this.isOpen) return foreign("whether it comes as far as a constant that fails")
      return refuseAt(at.at, `Failed to apply function to constant arguments: ${failure.message}`)
    }
    // A NULL or boolean would be taken for one that Postgres knew while planning.
    if (soft && (value === null || typeof value === "boolean")) return form
    const decided = value === null || value === undefined || typeof value === "boolean"
    const spec = this.spec(at.type)
    let text = ""
    try {
      text = decided ? "" : codecOf(spec, undefined).write(value)
    } catch (failure) {
      if (failure instanceof Undecided) return form
      throw failure
    }
    if (text.length > maxFoldedText + this.lengthOf(args)) return form
    this.release(args)
    if (value === null || value === undefined) return { b: null }
    if (typeof value === "boolean") return { b: value }
    const slot = this.slot(text, spec)
    if (soft && "k" in slot) this.soft.add(slot.k)
    return slot
  }

  private lengthOf(args: ReadonlyArray<Form>): number {
    let length = 0
    for (const arg of args) if ("k" in arg) length += this.constants[arg.k]?.length ?? 0
    return length
  }

  /** Gives back the slots of constants that were folded away, if they are the last ones. */
  release(args: ReadonlyArray<Form>): void {
    for (const arg of args.toReversed()) {
      if ("k" in arg && arg.k === this.constants.length - 1) {
        this.constants.pop()
        this.types.pop()
        this.soft.delete(arg.k)
      }
    }
  }

  /** The value of a constant. One that costs too much to be read is left to Postgres, as `slot` does. */
  valueOf(form: Form): unknown {
    if ("b" in form) return form.b
    if (!("k" in form)) return null
    try {
      return codecOf(this.types[form.k] ?? "text", undefined).read(this.constants[form.k] ?? "")
    } catch (failure) {
      if (failure instanceof Undecided) return foreign(failure.reason)
      throw failure
    }
  }
}
