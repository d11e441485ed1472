/**
 * What is known about the values of one type: reading Postgres' text form (and what its input function accepts),
 * writing it, order and identity. Values are never `null`; NULL is handled by the callers.
 */
export interface Codec {
  /** Throws `EvaluationError` where Postgres raises one, `Undecided` where only Postgres knows. */
  readonly read: (text: string) => unknown
  /** The output function's text, under the session settings that this service fixes. */
  readonly write: (value: unknown) => string
  /** The type's default order; `undefined` when it has none or it is Postgres' own. */
  readonly compare: ((a: unknown, b: unknown) => number) | undefined
  /** A primitive that is the same for equal values and only for them; `undefined` without an equality. */
  readonly key: ((value: unknown) => unknown) | undefined
  /** What reading or writing one value takes that is not long, in steps (`Work.ts`). The caller pays, who may do it for many. */
  readonly textSteps: number
  /** The same of comparing two, or of making the key of one. */
  readonly keySteps: number
}
