import type { Limits } from "../config/Limits.ts"
import { bytesOf, type Tuple } from "../postgres/Tuple.ts"
import {
  allow,
  type Closure,
  codecOf,
  type Compiled,
  EvaluationError,
  evaluationTime,
  keyReaders,
  type LinkKey,
  linkKeyOf,
  Undecided
} from "../where/index.ts"
import type { Given } from "./Links.ts"
import type { Asked } from "./Subselect.ts"
import type { KindState } from "./Subscription.ts"

const noConstants: ReadonlyArray<unknown> = []

/** What a row gives, if anything; or why nobody can tell. */
export type Gift = { readonly given: Given | undefined } | { readonly failure: string }

const nothing: Gift = { given: undefined }

/** Reads what the rows of one relation give to the sub-selects of one kind: once for each row, however many they are. */
export class GiftReader {
  private readonly group: ReadonlyArray<Closure>
  private readonly select: ReadonlyArray<Closure>
  private readonly keys: ReadonlyArray<(value: unknown) => unknown>
  private readonly writers: ReadonlyArray<(value: unknown) => string>
  private readonly asked: Asked
  private readonly limits: Limits

  constructor({ asked, kind }: KindState, { closureOf }: Compiled, limits: Limits) {
    const { group, keys, select } = kind.plan
    this.group = group.map(closureOf)
    this.select = select.map(closureOf)
    this.keys = keyReaders({ sub: kind.plan })
    this.writers = keys.map(({ collation, type }) => codecOf(type, collation).write)
    this.asked = asked
    this.limits = limits
  }

  /** Of the current row of the reader that it has been compiled for, which is this one. */
  read(row: Tuple): Gift {
    return this.bounded(row, () => this.given())
  }

  /**
   * The texts of the values of `group` and `select`, `null` for NULL, as the types of the kind's `keys` write them; nothing where
   * they cannot be told. Of rows, those of `group` alone.
   */
  texts(row: Tuple): ReadonlyArray<string | null> | undefined {
    const read = this.bounded(row, () =>
      (this.asked === "rows" ? this.group : [...this.group, ...this.select]).map((closure, i) => {
        const value = closure(noConstants)
        return value === null ? null : (this.writers[i]?.(value) ?? null)
      })
    )
    return "failure" in read ? undefined : read.given
  }

  private given(): Given | undefined {
    const keys: Array<unknown> = []
    for (const closure of this.group) {
      const value = closure(noConstants)
      // An equality with NULL is not true for any row.
      if (value === null) return undefined
      keys.push(this.keyOf(keys.length, value))
    }
    const group = linkKeyOf(keys)
    if (this.asked === "rows") return this.row(group)
    const parts: Array<unknown> = []
    let only: unknown = null
    for (const closure of this.select) {
      const value = closure(noConstants)
      const key = value === null ? null : this.keyOf(keys.length, value)
      only = value
      parts.push(key)
      keys.push(key)
    }
    const link = linkKeyOf(keys)
    if (this.asked === "set") return { group, link, parts }
    const text = only === null ? null : (this.writers.at(-1)?.(only) ?? "")
    return { group, link, parts, value: { of: only, text } }
  }

  /** Values as they are: none of them has to be told from others than by its text. */
  private row(group: LinkKey): Given {
    const before = this.group.length
    const values = this.select.map((closure) => closure(noConstants))
    const texts = values.map((value, i) => (value === null ? null : this.writers[before + i]?.(value)))
    return { group, link: null, parts: [], value: { of: values, text: JSON.stringify(texts) } }
  }

  private keyOf(i: number, value: unknown): unknown {
    if (value === undefined) throw new Undecided("only Postgres can evaluate what it selects")
    return this.keys[i]?.(value)
  }

  private bounded<A>(row: Tuple, read: () => A): { readonly given: A } | { readonly failure: string } {
    const { clauseSteps, clauseValueLength } = this.limits
    allow(clauseSteps, clauseValueLength, () => bytesOf(row), evaluationTime)
    try {
      const given = read()
      return given === undefined ? (nothing as { readonly given: A }) : { given }
    } catch (failure) {
      if (failure instanceof EvaluationError) return { failure: failure.message }
      if (failure instanceof Undecided) return { failure: failure.reason }
      throw failure
    } finally {
      allow(Infinity, Infinity)
    }
  }
}
