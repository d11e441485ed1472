/** What an operator wants compared. */
export interface VerifyRequest {
  /** Of shapes; all of them where this and `table` are left out. */
  readonly handle?: string
  /** With its schema, or without it where one schema has it. */
  readonly table?: string
  /** Rows of tables, and messages of logs, that are read in a second at most. */
  readonly rowsPerSecond: number
  /** Brings shapes to what Postgres holds, where they are found to differ. */
  readonly repair: boolean
}

/** A row of a shape that is not what Postgres has. */
export interface RowDifference {
  readonly handle: string
  readonly table: string
  /** Of the row, as messages have it. */
  readonly key: string
  /** `missing`: Postgres has it, readers do not. `surplus`: the other way round. `differs`: both have it. */
  readonly kind: "missing" | "surplus" | "differs"
  /** Of a row that differs: which of its columns do. */
  readonly columns: ReadonlyArray<string>
  /**
   * The last that the log says of the row: the offset of a change, or `first rows`; null where it never speaks of it, `unknown` where it was
   * compacted just then. What is wrong
   * has gone wrong there, or since.
   */
  readonly since: string | null
}

/** A shape that could not be compared. */
export interface SkippedShape {
  readonly handle: string
  readonly table: string
  readonly reason: string
}

/** How a comparison stands, as plain data. */
export interface VerifyReport {
  readonly state: "running" | "done" | "failed" | "stopped"
  /** Why it has failed. */
  readonly failure: string | null
  readonly request: VerifyRequest
  readonly startedAt: string
  readonly endedAt: string | null
  /** Tables done, and all of them. */
  readonly tables: { readonly done: number; readonly total: number }
  readonly shapes: { readonly compared: number; readonly total: number; readonly differing: number }
  /** Of tables. */
  readonly rowsRead: number
  readonly found: { readonly missing: number; readonly surplus: number; readonly differs: number }
  /** Some of them, where there are many. */
  readonly differences: ReadonlyArray<RowDifference>
  readonly skipped: ReadonlyArray<SkippedShape>
  /** Shapes that are not among `skipped` because there are too many. */
  readonly moreSkipped: number
  /** `none`: not asked for, or nothing to be repaired. */
  readonly repair: "none" | "underWay" | "done"
}

/** What is found by one look. */
export const totalFound = ({ differs, missing, surplus }: VerifyReport["found"]): number =>
  differs + missing + surplus
