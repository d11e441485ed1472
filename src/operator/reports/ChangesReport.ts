/** A change of a shape's log, as an operator is shown it. */
interface ShownChange {
  readonly offset: string
  readonly operation: string
  readonly key: string
  /** Texts of values, long ones cut. */
  readonly value: Readonly<Record<string, string | null>>
}

export interface ChangesReport {
  readonly changes: ReadonlyArray<ShownChange>
  /** Where to look on from. */
  readonly next: string
  /** There are older ones that are not shown. */
  readonly hasOlder: boolean
}

export const mostChanges = 50
const longestValue = 300
const mostColumns = 60

const cut = (text: string): string => (text.length > longestValue ? `${text.slice(0, longestValue)}…` : text)

const textOf = (value: unknown): string | null =>
  value === null || value === undefined
    ? null
    : cut(typeof value === "string" ? value : JSON.stringify(value))

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}

/** The messages of a log, in wire form joined with commas, as they are shown; the newest of them, the oldest of those first. */
export const shownChanges = (text: string): ReadonlyArray<ShownChange> => {
  const messages = JSON.parse(`[${text}]`) as ReadonlyArray<unknown>
  return messages.slice(-mostChanges).map((message) => {
    const { headers, key, value } = record(message)
    const { lsn, op_position: op, operation } = record(headers)
    return {
      offset: `${String(lsn ?? "")}_${String(op ?? "")}`,
      operation: textOf(operation) ?? "",
      key: textOf(key) ?? "",
      value: Object.fromEntries(
        Object.entries(record(value))
          .slice(0, mostColumns)
          .map(([name, one]) => [name, textOf(one)])
      )
    }
  })
}
