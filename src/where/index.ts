/** What the rest of the service uses of this folder. */
export {
  Catalogue,
  CatalogueUnavailable,
  loadTypeCatalogue,
  makeTypeCatalogue,
  type CatalogueQuery
} from "./catalogue/Catalogue.ts"
export { TypeCatalogue } from "./catalogue/TypeCatalogue.ts"
export { isStoredExpression, type StoredExpression } from "./evaluate/Form.ts"
export { CompileAside } from "./aside/CompileAside.ts"
export { columnsOf } from "./columnsOf.ts"
export { compileOrderBy } from "./compileOrderBy.ts"
export { compileWhere, type CompiledWhere, type WhereRequest } from "./compileWhere.ts"
export {
  ClauseOutdated,
  evaluate,
  makeRunnable,
  type ClauseColumn,
  type RunnableClause,
  type Verdict
} from "./evaluate/RunnableClause.ts"
export { Burst } from "./index/Costs.ts"
export { FilterIndex } from "./index/FilterIndex.ts"
export { clearMatchList, makeMatchList, type MatchList } from "./index/MatchList.ts"
export { memoryOf, sizeOfParams } from "./memoryOf.ts"
export { loadParser } from "./parse/parser.ts"
export { narrowing } from "./print/narrowing.ts"
export {
  askPostgres,
  type AskingQuery,
  columnsRead,
  type Questions,
  type RowTexts,
  type Verdicts
} from "./slow/askPostgres.ts"
export type { Classification, WhereClause } from "./WhereClause.ts"
export type { WhereError } from "./WhereError.ts"
