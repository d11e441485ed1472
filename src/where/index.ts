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
export { columnsOf } from "./ColumnsOf.ts"
export { compileOrderBy } from "./CompileOrderBy.ts"
export { compileWhere, type CompiledWhere, type WhereRequest } from "./CompileWhere.ts"
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
export { memoryOf, sizeOfParams } from "./MemoryOf.ts"
export { loadParser } from "./parse/Parser.ts"
export { narrowing } from "./print/Narrowing.ts"
export {
  askPostgres,
  type AskingQuery,
  columnsRead,
  type Questions,
  type RowTexts,
  type Verdicts
} from "./evaluate/AskPostgres.ts"
export { CheckedZones, type Zones } from "./zones/Zones.ts"
export { offsetIn, telltaleSeconds } from "./zones/ZoneTable.ts"
export { mayHaveTables, type NamedTable, tableKey } from "./SubselectTables.ts"
export type { Classification, MemberColumn, MemberTable, WhereClause } from "./WhereClause.ts"
export type { WhereError } from "./WhereError.ts"
