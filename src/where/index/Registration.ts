import type { Compiled } from "../evaluate/Compile.ts"
import type { RunnableClause } from "../evaluate/RunnableClause.ts"
import { keysOf, nullKeys, type Alternative, type PlannedPath } from "./Paths.ts"

/** What registrations of one form that are found in the same way have in common. */
interface Kind {
  readonly compiled: Compiled
  /** Which of the form's alternatives was taken; `undefined`: the clause is evaluated for every row. */
  readonly alternative: Alternative | undefined
  /** The form has one constant, which stands without a list. */
  readonly single: boolean
}

const kinds = new WeakMap<Compiled, Array<Kind>>()

const kindOf = (compiled: Compiled, alternative: Alternative | undefined, single: boolean): Kind => {
  let known = kinds.get(compiled)
  if (known === undefined) kinds.set(compiled, (known = []))
  let kind = known.find((one) => one.alternative === alternative && one.single === single)
  if (kind === undefined) known.push((kind = { compiled, alternative, single }))
  return kind
}

const noKeys: ReadonlyArray<unknown> = []

/** How a clause stands in the index. Kept small: there is one for every shape that has a clause. */
export class Registration {
  private readonly kind: Kind
  private readonly own: unknown

  constructor({ compiled, constants }: RunnableClause, alternative: Alternative | undefined) {
    const single = constants.length === 1
    this.kind = kindOf(compiled, alternative, single)
    this.own = single ? constants[0] : constants
  }

  get compiled(): Compiled {
    return this.kind.compiled
  }

  get alternative(): Alternative | undefined {
    return this.kind.alternative
  }

  get constants(): ReadonlyArray<unknown> {
    // The constructor has put a list there in all other cases.
    return this.kind.single ? [this.own] : (this.own as ReadonlyArray<unknown>)
  }

  /** The keys that it is registered under for the alternative's path number `i`. */
  keysOf(_i: number, one: PlannedPath): ReadonlyArray<unknown> {
    return one.path.kind === "isNull" ? nullKeys : (keysOf(one, this) ?? noKeys)
  }
}

/** One whose keys its constants alone do not tell. */
class KeyedRegistration extends Registration {
  private readonly keys: ReadonlyArray<ReadonlyArray<unknown>>

  constructor(clause: RunnableClause, alternative: Alternative, keys: ReadonlyArray<ReadonlyArray<unknown>>) {
    super(clause, alternative)
    this.keys = keys
  }

  override keysOf(i: number, one: PlannedPath): ReadonlyArray<unknown> {
    return this.keys[i] ?? super.keysOf(i, one)
  }
}

/** `keys`: per path of the alternative, as chosen. */
export const register = (
  clause: RunnableClause,
  alternative: Alternative,
  keys: ReadonlyArray<ReadonlyArray<unknown>>
): Registration =>
  alternative.some(({ path }) => path.kind === "containsAll")
    ? new KeyedRegistration(clause, alternative, keys)
    : new Registration(clause, alternative)
