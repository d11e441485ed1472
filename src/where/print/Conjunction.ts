/**
 * The conditions that a normalised clause joins by AND, in order; those of a parenthesis that is an AND itself one by one.
 * Only for texts of `printExpression`, which puts everything in parentheses that a weaker operator could tear apart, but for
 * CASE, which ends with END.
 */
export const conjunctionOf = (sql: string): ReadonlyArray<string> => {
  const parts = split(sql)
  if (parts.length > 1) return parts.flatMap(conjunctionOf)
  const inner = unwrapped(sql)
  if (inner === undefined) return [sql]
  const within = split(inner)
  return within.length > 1 ? within.flatMap(conjunctionOf) : [sql]
}

/** A word of SQL, something quoted, or a parenthesis. A quote inside something quoted is doubled. */
const token = /'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|[()[\]]/g

const split = (sql: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let depth = 0
  let from = 0
  for (const { 0: text, index } of sql.matchAll(token)) {
    if (text === "(" || text === "[" || text === "CASE") depth++
    else if (text === ")" || text === "]" || text === "END") depth--
    else if (text === "AND" && depth === 0) {
      parts.push(sql.slice(from, index).trim())
      from = index + text.length
    }
  }
  parts.push(sql.slice(from).trim())
  return parts
}

/** What stands in the parentheses that enclose all of a text, unless that is a sub-select. */
const unwrapped = (sql: string): string | undefined => {
  if (!sql.startsWith("(") || sql.startsWith("(SELECT ")) return undefined
  let depth = 0
  for (const { 0: text, index } of sql.matchAll(token)) {
    if (text === "(") depth++
    else if (text === ")" && --depth === 0) return index === sql.length - 1 ? sql.slice(1, -1) : undefined
  }
  return undefined
}
