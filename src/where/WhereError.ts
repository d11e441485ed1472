/**
 * Why a clause, its parameters or an ORDER BY text was refused. Plain data: the HTTP layer turns it into a 400.
 * `message` is what clients see; `position` counts characters from the start of the text, zero-based, and is
 * already part of `message` when it is known.
 */
export interface WhereError {
  readonly message: string
  readonly position: number | undefined
  /** `table` and `columns` are at fault where a sub-select names a table or column that does not exist. */
  readonly parameter: "where" | "params" | "order_by" | "table" | "columns"
  /**
   * The text itself is at fault. Otherwise it may be all right for a newer catalogue: with a type, label, function or column
   * that was made after the last look.
   */
  readonly final: boolean
}

/** Thrown inside this folder only; every public function turns it into a `WhereError`. */
export class Refusal {
  readonly error: WhereError
  constructor(error: WhereError) {
    this.error = error
  }
}

/** Refuses with the position in front of the text, as clients of this protocol know it. */
export const refuseAt = (position: number, text: string): never => {
  throw new Refusal({
    message: position < 0 ? text : `At location ${position}: ${text}`,
    position: position < 0 ? undefined : position,
    parameter: "where",
    final: false
  })
}

export const refuse = (text: string, parameter: WhereError["parameter"] = "where"): never => {
  throw new Refusal({ message: text, position: undefined, parameter, final: parameter === "params" })
}
