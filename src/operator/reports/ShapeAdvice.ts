import type { Evaluation } from "./ShapeRow.ts"

/** How changes find a shape, and what would make that cheaper, in words for an operator. */
export interface EvaluationReport {
  readonly kind: Evaluation
  readonly cost: string
  /** Why it is so, where the compiler of conditions has said it. */
  readonly reason: string | null
  /** What would make it faster; null where nothing would. */
  readonly faster: string | null
}

const costs: Readonly<Record<Evaluation, readonly [cost: string, faster: string | null]>> = {
  all: [
    "There is no condition: every change of the table belongs to the shape, and nothing is evaluated.",
    null
  ],
  indexed: [
    "Found by looking a value of the changed row up: it costs the same however many such shapes there are.",
    null
  ],
  evaluated: [
    "The condition is evaluated here for every changed row of the table, some hundred nanoseconds each time.",
    "Join a comparison of a column with a constant by AND (column = value, IN, a range, an array that contains a value): then shapes are found by that value."
  ],
  postgres: [
    "Postgres is asked about every changed row that the other conditions do not rule out: a round trip for each group of rows.",
    "Use functions and operators that are evaluated here (docs/where-clauses.md lists them), or join a comparison of a column with a constant by AND, which rules most rows out before Postgres is asked."
  ],
  unknown: [
    "Not known: the shape was made by a release that did not judge it.",
    "Delete the shape once: clients make it anew, and then it is known."
  ]
}

export const evaluationReport = (kind: Evaluation, reason: string | undefined): EvaluationReport => {
  const [cost, faster] = costs[kind]
  return { kind, cost, reason: reason ?? null, faster }
}
