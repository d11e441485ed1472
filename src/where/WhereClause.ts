/**
 * A checked and normalised where clause, as plain JSON data that can be stored with a shape and made runnable
 * again without parsing SQL.
 */
export interface WhereClause {
  /** Normalised SQL with parameters substituted: the shape's identity, and what snapshot queries run. */
  readonly sql: string
  /** The typed expression in a form owned by this folder; JSON-serialisable. */
  readonly expression: unknown
}
