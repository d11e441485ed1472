import { nestArrays, vector, type ArrayValue } from "../values/Arrays.ts"
import type { Implementation } from "../native/index.ts"
import { EvaluationError, Undecided } from "../values/Failure.ts"
import { TooCostly } from "../values/Work.ts"
import { type Form, type FormOf, partsOf } from "./Form.ts"

/**
 * A compiled expression. `constants` are the clause's own: its constants as values, followed by what was derived
 * from them once. Booleans are `true`, `false` and `null`; `undefined` says that only Postgres can tell.
 */
export type Closure = (constants: ReadonlyArray<unknown>) => unknown

/**
 * Computed at the first use and kept, what is undecided as well; a clause that is never evaluated costs nothing. What was
 * too costly for one row is tried again for the next.
 */
export const lazily = (compute: () => unknown): (() => unknown) => {
  let done = false
  let value: unknown
  let failure: Undecided | undefined
  return () => {
    if (failure !== undefined) throw failure
    if (!done) {
      try {
        value = compute()
      } catch (error) {
        if (error instanceof Undecided && !(error instanceof TooCostly)) failure = error
        throw error
      }
      done = true
    }
    return value
  }
}

export const binary = (
  form: FormOf<"f">,
  first: Closure,
  second: Closure,
  implementation: Implementation
): Closure => {
  const right = form.a[1]
  if (right !== undefined && "k" in right) {
    const index = right.k
    return (constants) => {
      const a = first(constants)
      return a === null ? null : implementation(a, constants[index])
    }
  }
  return (constants) => {
    const a = first(constants)
    const b = second(constants)
    return a === null || b === null ? null : implementation(a, b)
  }
}

const open = new WeakMap<Form, boolean>()

/** Some part of it, however deep, is left to Postgres. */
const hasOpenPart = (form: Form): boolean => {
  let known = open.get(form)
  if (known === undefined) {
    known = "slow" in form || partsOf(form).some(hasOpenPart)
    open.set(form, known)
  }
  return known
}

export const logic = (
  forms: ReadonlyArray<Form>,
  parts: ReadonlyArray<Closure>,
  deciding: boolean
): Closure => {
  if (forms.some(hasOpenPart)) return openLogic(parts, deciding)
  return deciding ? or(parts) : and(parts)
}

/**
 * The conditions that a whole clause joins by AND. As in a query, a row is out with the first one that is not true: an
 * error behind a NULL is no error, so that who may add conditions cannot learn of rows that those in front rule out.
 */
export const rootLogic = (form: FormOf<"and">, parts: ReadonlyArray<Closure>): Closure => {
  const whole = logic(form.and, parts, false)
  return (constants) => {
    try {
      return whole(constants)
    } catch (failure) {
      if (!(failure instanceof EvaluationError)) throw failure
      for (const part of parts) {
        const value = part(constants)
        if (value !== true && value !== undefined) return value
      }
      throw failure
    }
  }
}

/**
 * AND or OR with parts that only Postgres decides. Behind such a part an error is no error: Postgres may not get
 * there.
 */
const openLogic =
  (parts: ReadonlyArray<Closure>, deciding: boolean): Closure =>
  (constants) => {
    let result: boolean | null | undefined = !deciding
    for (const part of parts) {
      let value: unknown
      try {
        value = part(constants)
      } catch (failure) {
        if (result !== undefined) throw failure
      }
      if (value === deciding) return deciding
      if (value === undefined || result === undefined) result = undefined
      else if (value === null) result = null
    }
    return result
  }

/** Whether an error is one is for Postgres to say. */
export const failingUndecided =
  (whole: Closure): Closure =>
  (constants) => {
    try {
      return whole(constants)
    } catch (failure) {
      if (failure instanceof EvaluationError) return undefined
      throw failure
    }
  }

/** Left to right, stops at the first part that decides; NULL is weaker than false. */
const and =
  (parts: ReadonlyArray<Closure>): Closure =>
  (constants) => {
    let result: boolean | null = true
    for (let i = 0; i < parts.length; i++) {
      const value = (parts[i] as Closure)(constants)
      if (value === false) return false
      if (value !== true) result = null
    }
    return result
  }

const or =
  (parts: ReadonlyArray<Closure>): Closure =>
  (constants) => {
    let result: boolean | null = false
    for (let i = 0; i < parts.length; i++) {
      const value = (parts[i] as Closure)(constants)
      if (value === true) return true
      if (value !== false) result = null
    }
    return result
  }

export const booleanTest = (arg: Closure, test: "TRUE" | "FALSE" | "UNKNOWN", not: boolean): Closure => {
  const wanted = test === "TRUE" ? true : test === "FALSE" ? false : null
  return (constants) => {
    const value = arg(constants)
    return value === undefined ? undefined : (value === wanted) !== not
  }
}

export const coalesce =
  (parts: ReadonlyArray<Closure>): Closure =>
  (constants) => {
    for (const part of parts) {
      const value = part(constants)
      if (value !== null) return value
    }
    return null
  }

export const arrayOf =
  (parts: ReadonlyArray<Closure>, nested: boolean): Closure =>
  (constants) => {
    const values = parts.map((part) => part(constants))
    return nested ? nestArrays(values as ReadonlyArray<ArrayValue | null>) : vector(values)
  }
