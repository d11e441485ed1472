import type { Limits } from "../../config/Limits.ts"
import type { CatalogueData } from "../catalogue/TypeCatalogue.ts"
import type { CompiledWhere, WhereRequest } from "../CompileWhere.ts"
import type { NamedTable } from "../SubselectTables.ts"
import type { WhereError } from "../WhereError.ts"

/** What a text is looked through for. */
export interface TablesRequest {
  readonly sql: string
  readonly limits: Limits
}

export type ToThread =
  | {
      readonly id: number
      /** Present when it is not that of the clause before. */
      readonly data: CatalogueData | undefined
      readonly request: Omit<WhereRequest, "catalogue">
    }
  | { readonly id: number; readonly tablesOf: TablesRequest }

/** What `compileWhere` gives, or `subselectTables`. */
export type Found = CompiledWhere | ReadonlyArray<NamedTable>

export type FromThread =
  /** The first one: the thread has begun, from files that may have been replaced since this process was started. */
  | { readonly release: string }
  | { readonly id: number; readonly found: Found; readonly refused: undefined }
  | { readonly id: number; readonly found: undefined; readonly refused: WhereError }
