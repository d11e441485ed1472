import { IntTable } from "../../shared/tables/IntTable.ts"
import type { Compiled } from "../evaluate/Compile.ts"
import type { RunnableClause } from "../evaluate/RunnableClause.ts"
import { keysOf, nullKeys, type Alternative, type PlannedPath } from "./Paths.ts"

/** What registrations of one form that are found in the same way have in common. */
interface Kind {
  readonly number: number
  readonly compiled: Compiled
  /** Which of the form's alternatives was taken; `undefined`: the clause is evaluated for every row. */
  readonly alternative: Alternative | undefined
  /** The form has one constant, which stands without a list. */
  readonly single: boolean
  /** The keys of each are kept beside its constants, which do not tell them. */
  readonly keyed: boolean
  uses: number
}

/** What is kept of a registration whose keys are. */
interface Keyed {
  readonly constants: unknown
  /** Per path of the alternative, as chosen. */
  readonly keys: ReadonlyArray<ReadonlyArray<unknown>>
}

/** How a clause stands in the index. Made anew whenever it is asked for. */
export interface Registration {
  readonly compiled: Compiled
  readonly constants: ReadonlyArray<unknown>
  readonly alternative: Alternative | undefined
  readonly keys: ReadonlyArray<ReadonlyArray<unknown>> | undefined
}

const noKeys: ReadonlyArray<unknown> = []

/** The keys that a clause is registered under for its alternative's path number `i`, which is `one`. */
export const registeredKeys = (
  registration: Registration,
  i: number,
  one: PlannedPath
): ReadonlyArray<unknown> =>
  registration.keys?.[i] ?? (one.path.kind === "isNull" ? nullKeys : (keysOf(one, registration) ?? noKeys))

/** Id and number of the kind. */
const stride = 2

/**
 * The clauses of an index by their shapes. There is one for every shape that has a clause, so it is no object: eight bytes of V8's
 * heap for its constants, and some twenty-five outside of it.
 */
export class Registrations {
  size = 0
  /** Where among `numbers` and `own` a shape is, and 1. */
  private readonly positions = new IntTable()
  private numbers = new Uint32Array(stride)
  private readonly own: Array<unknown> = []
  private readonly kinds: Array<Kind | undefined> = []
  private readonly freeNumbers: Array<number> = []
  private readonly kindsOf = new Map<Compiled, Array<Kind>>()

  /** For a shape that is not there. `keys`: per path of the alternative, as chosen. */
  add(
    id: number,
    { compiled, constants }: RunnableClause,
    alternative: Alternative | undefined,
    keys: ReadonlyArray<ReadonlyArray<unknown>>
  ): void {
    const keyed = alternative?.some(({ path }) => path.kind === "containsAll") === true
    const single = constants.length === 1
    const kind = this.kindOf(compiled, alternative, single, keyed)
    kind.uses++
    const position = this.size++
    if (this.size * stride > this.numbers.length) this.makeRoom()
    this.numbers[position * stride] = id
    this.numbers[position * stride + 1] = kind.number
    const own = single ? constants[0] : constants
    this.own.push(keyed ? ({ constants: own, keys } satisfies Keyed) : own)
    this.positions.set(id, position + 1)
  }

  get(id: number): Registration | undefined {
    const position = this.positionOf(id)
    return position < 0 ? undefined : this.at(position)
  }

  /** Gives what was there. */
  delete(id: number): Registration | undefined {
    const position = this.positionOf(id)
    if (position < 0) return undefined
    const registration = this.at(position)
    this.release(this.kindAt(position))
    this.positions.delete(id)
    const last = --this.size
    if (position < last) {
      const { numbers } = this
      numbers.copyWithin(position * stride, last * stride, (last + 1) * stride)
      this.own[position] = this.own[last]
      this.positions.set(this.idAt(position), position + 1)
    }
    this.own.pop()
    if (this.numbers.length > 64 && this.size * stride * 4 < this.numbers.length)
      this.numbers = this.numbers.slice(0, this.numbers.length / 2)
    return registration
  }

  // By position, which is below `size` and holds until something is added or removed: nothing is made of most.

  /** Below 0: the shape is not there. */
  positionOf(id: number): number {
    return this.positions.get(id) - 1
  }

  idAt(position: number): number {
    return this.numbers[position * stride] as number
  }

  alternativeAt(position: number): Alternative | undefined {
    return this.kindAt(position).alternative
  }

  compiledAt(position: number): Compiled {
    return this.kindAt(position).compiled
  }

  constantsAt(position: number): ReadonlyArray<unknown> {
    const { keyed, single } = this.kindAt(position)
    // `add` has put there what the kind keeps.
    const own = keyed ? (this.own[position] as Keyed).constants : this.own[position]
    return single ? [own] : (own as ReadonlyArray<unknown>)
  }

  private at(position: number): Registration {
    const { alternative, compiled, keyed } = this.kindAt(position)
    const keys = keyed ? (this.own[position] as Keyed).keys : undefined
    return { compiled, alternative, constants: this.constantsAt(position), keys }
  }

  private kindAt(position: number): Kind {
    // A kind has its number for as long as one of it is there.
    return this.kinds[this.numbers[position * stride + 1] as number] as Kind
  }

  private kindOf(
    compiled: Compiled,
    alternative: Alternative | undefined,
    single: boolean,
    keyed: boolean
  ): Kind {
    let known = this.kindsOf.get(compiled)
    if (known === undefined) this.kindsOf.set(compiled, (known = []))
    let kind = known.find(
      (one) => one.alternative === alternative && one.single === single && one.keyed === keyed
    )
    if (kind === undefined) {
      kind = {
        number: this.freeNumbers.pop() ?? this.kinds.length,
        compiled,
        alternative,
        single,
        keyed,
        uses: 0
      }
      this.kinds[kind.number] = kind
      known.push(kind)
    }
    return kind
  }

  private release(kind: Kind): void {
    if (--kind.uses > 0) return
    this.kinds[kind.number] = undefined
    this.freeNumbers.push(kind.number)
    const known = this.kindsOf.get(kind.compiled)?.filter((one) => one !== kind) ?? []
    if (known.length === 0) this.kindsOf.delete(kind.compiled)
    else this.kindsOf.set(kind.compiled, known)
  }

  private makeRoom(): void {
    const larger = new Uint32Array(stride * Math.max(4, Math.ceil(this.size * 1.25)))
    larger.set(this.numbers)
    this.numbers = larger
  }
}
