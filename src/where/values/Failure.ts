/**
 * What evaluating an expression can end in besides a value. Both are thrown: they are rare, and a throw costs
 * nothing on the way that is always taken. Neither is an `Error`, so no stack is collected.
 */

/** Postgres would raise an error for this row: division by zero, a failed cast, a value out of range. */
export class EvaluationError {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** This evaluator cannot know what Postgres would say; Postgres has to be asked. */
export class Undecided {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

export const fail = (message: string): never => {
  throw new EvaluationError(message)
}

export const undecided = (reason: string): never => {
  throw new Undecided(reason)
}

export const invalidSyntax = (type: string, text: string): never =>
  fail(`invalid input syntax for type ${type}: "${text}"`)
