/** What one of the conditions that a clause joins by AND says of a row. */
export interface PartVerdict {
  readonly sql: string
  readonly value: "true" | "false" | "null" | "failed"
  /** What Postgres says where it fails. */
  readonly message: string | null
}

/** Why a row is in a shape, or is not. */
export interface WhyReport {
  readonly found: boolean
  /** Null where its condition cannot be evaluated for the row. */
  readonly belongs: boolean | null
  readonly parts: ReadonlyArray<PartVerdict>
  readonly text: string
}

/** `parts` undefined: the table has no such row now. */
export const whyReport = (parts: ReadonlyArray<PartVerdict> | undefined): WhyReport => {
  if (parts === undefined)
    return {
      found: false,
      belongs: false,
      parts: [],
      text: "The table has no row of this key now, so the shape has none either."
    }
  const failed = parts.filter(({ value }) => value === "failed")
  const against = parts.filter(({ value }) => value === "false" || value === "null")
  if (against.length === 0 && failed.length > 0)
    return {
      found: true,
      belongs: null,
      parts,
      text: "The condition cannot be evaluated for this row: Postgres raises an error. A shape that meets such a row is dropped."
    }
  if (against.length === 0)
    return {
      found: true,
      belongs: true,
      parts,
      text:
        parts.length === 0
          ? "The shape has no condition: the row is in it, as every row of the table."
          : "Every part of the condition is true: the row is in the shape. A client that does not see it has not caught up."
    }
  const isNull = against.some(({ value }) => value === "null")
  return {
    found: true,
    belongs: false,
    parts,
    text: `The row is not in the shape: ${against.length === 1 ? "one part" : `${against.length} parts`} of its condition ${against.length === 1 ? "is" : "are"} not true.${isNull ? " What is NULL is not true: a comparison with NULL never is." : ""}`
  }
}
