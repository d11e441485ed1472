import type { WhereRequest } from "../CompileWhere.ts"
import { sizeOfParams } from "../MemoryOf.ts"

const smallClause = 2048
const smallParams = 16_384

/**
 * Whether a clause takes some milliseconds at most to be checked, but for what its constants cost (`compileQuickly`). It is
 * measured as if its parameters stood in it wherever they are used: each place reads its own value of them.
 */
export const isSmall = ({ params, sql }: Pick<WhereRequest, "sql" | "params">): boolean => {
  if (sql.length > smallClause || sizeOfParams(params) > smallParams) return false
  let size = 0
  for (const [, number = ""] of sql.matchAll(/\$(\d+)/g)) {
    size += params[number]?.length ?? 0
    if (size > smallParams) return false
  }
  return true
}
