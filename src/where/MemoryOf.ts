import { isStoredExpression } from "./evaluate/Form.ts"
import type { WhereClause } from "./WhereClause.ts"

/** Each parameter costs more than its text. */
const bytesPerParameter = 8

export const sizeOfParams = (params: Readonly<Record<string, string>>): number => {
  let size = 0
  for (const key in params) size += bytesPerParameter + Buffer.byteLength(params[key] ?? "")
  return size
}

/** Elements of arrays and JSON are values of their own, and may be keys of an index. */
const bytesPerStructuredCharacter = 24
const bytesPerCharacter = 4
const bytesPerConstant = 64

/** An estimate of what a condition takes in memory while its shape lives. */
export const memoryOf = ({ expression, sql }: Pick<WhereClause, "expression" | "sql">): number => {
  let bytes = sql.length * bytesPerCharacter
  if (!isStoredExpression(expression)) return bytes
  bytes += expression.plan.length * bytesPerCharacter
  if (expression.moves !== undefined) bytes += JSON.stringify(expression.moves).length * bytesPerCharacter
  for (const constant of expression.constants) {
    const first = constant.charCodeAt(0)
    const structured = first === 0x7b || first === 0x5b
    bytes +=
      bytesPerConstant + constant.length * (structured ? bytesPerStructuredCharacter : bytesPerCharacter)
  }
  return bytes
}
