/** A rule for Prometheus, and the section of `docs/operations.md` that it leads to. */
export interface Alert {
  readonly name: string
  readonly severity: "critical" | "warning" | "info"
  /** How long the expression must have a result, as Prometheus writes it; `0m` fires at once. */
  readonly for: string
  readonly expression: string
  /** One line for whoever is woken. */
  readonly summary: string
  readonly means: string
  readonly heals: string
  readonly whatToDo: string
  /** Series, as `promtool test rules` writes them, with which it fires within the hour. */
  readonly firesWith: Readonly<Record<string, string>>
}
