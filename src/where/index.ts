/** What the rest of the service uses of this folder. */
export {
  Catalogue,
  CatalogueUnavailable,
  loadTypeCatalogue,
  makeTypeCatalogue,
  type CatalogueQuery
} from "./catalogue/Catalogue.ts"
export { TypeCatalogue } from "./catalogue/TypeCatalogue.ts"
export type { Closure } from "./evaluate/Closures.ts"
export type { Compiled } from "./evaluate/Compile.ts"
export {
  type Form,
  type FormColumn,
  isStoredExpression,
  partsOf,
  type Plan,
  type StoredExpression,
  type SubselectForm,
  type SubselectMoves,
  type SubselectPlan
} from "./evaluate/Form.ts"
export {
  emptyLink,
  type GivenRows,
  groupKeyIn,
  keyName,
  type LinkKey,
  linkKeyIn,
  linkKeyOf,
  linkNames,
  type Membership,
  partOfLink,
  subselectKind,
  type SubselectKind,
  useMembership
} from "./evaluate/Membership.ts"
export type { RowReader } from "./evaluate/RowReader.ts"
export { keyReaders, linkOf } from "./evaluate/Subselects.ts"
export { CompileAside } from "./aside/CompileAside.ts"
export { filterSql } from "./print/PrintSubselect.ts"
export { subselectsOf } from "./evaluate/SubselectsOf.ts"
export { columnsOf } from "./ColumnsOf.ts"
export { compileOrderBy } from "./CompileOrderBy.ts"
export { compileWhere, type CompiledWhere, type WhereRequest } from "./CompileWhere.ts"
export {
  ClauseOutdated,
  evaluate,
  makeRunnable,
  readerOf,
  type ClauseColumn,
  type RunnableClause,
  type Verdict
} from "./evaluate/RunnableClause.ts"
export { Burst } from "./index/Costs.ts"
export { FilterIndex } from "./index/FilterIndex.ts"
export { clearMatchList, makeMatchList, type MatchList } from "./index/MatchList.ts"
export { memoryOf, sizeOfParams } from "./MemoryOf.ts"
export { loadParser } from "./parse/Parser.ts"
export { conjunctionOf } from "./print/Conjunction.ts"
export { narrowing } from "./print/Narrowing.ts"
export {
  askPostgres,
  type AskingQuery,
  columnsRead,
  type Questions,
  type RowTexts,
  type Verdicts
} from "./evaluate/AskPostgres.ts"
export type { TypeSpec } from "./values/TypeSpec.ts"
export { codecOf } from "./values/Codecs.ts"
export { EvaluationError, fail, Undecided, undecided } from "./values/Failure.ts"
export { allow, evaluationTime } from "./values/Work.ts"
export { CheckedZones, type Zones } from "./zones/Zones.ts"
export { offsetIn, telltaleSeconds } from "./zones/ZoneTable.ts"
export { mayHaveTables, type NamedTable, tableKey } from "./SubselectTables.ts"
export type { Classification, MemberColumn, MemberTable, WhereClause } from "./WhereClause.ts"
export type { WhereError } from "./WhereError.ts"
export { practiceRequest } from "./PracticeCondition.ts"
