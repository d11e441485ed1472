import type { CatalogueData } from "../catalogue/TypeCatalogue.ts"
import type { CompiledWhere, WhereRequest } from "../CompileWhere.ts"
import type { WhereError } from "../WhereError.ts"

export interface ToThread {
  readonly id: number
  /** Present when it is not that of the clause before. */
  readonly data: CatalogueData | undefined
  readonly request: Omit<WhereRequest, "catalogue">
}

export type FromThread =
  /** The first one: the thread has begun, from files that may have been replaced since this process was started. */
  | { readonly release: string }
  | { readonly id: number; readonly compiled: CompiledWhere; readonly refused: undefined }
  | { readonly id: number; readonly compiled: undefined; readonly refused: WhereError }
