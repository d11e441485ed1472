import { keyColumns } from "../postgres/catalogue/ColumnSelection.ts"
import type { Relation } from "../postgres/Relation.ts"
import { contentsChanged, type TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { MemberTable } from "../where/index.ts"
import type { DefinitionTemplate } from "./InternDefinition.ts"
import type { DefinedColumn, ShapeDefinition } from "./ShapeDefinition.ts"

/** Of a clause it only matters whether there is one, and which columns it uses. */
type Judged = Omit<ShapeDefinition, "where"> & { readonly where?: unknown }

/**
 * Whether a shape must be dropped because its table is no longer what it was when the shape was made:
 *
 * - another table has its name, or it has another name
 * - a column that the shape selects, is keyed by or filters on is gone, was replaced, or changed so that stored
 *   values may read differently; or may now be NULL although clients were told it cannot
 * - a column was added or dropped, and the shape has all columns (by request, or as the key of a table without one)
 * - the primary key is another one
 * - a partition went, with rows of which no change in the stream tells
 *
 * `table` is the shape's table or, as a relation only, one of its partitions (neither name nor OID is equal then).
 * A relation of the stream tells less than the catalogue: what it leaves out is not compared, and it may lack
 * generated columns that the publication does not publish, which affects only shapes that use them.
 */
export const isAffectedBy = (definition: Judged, table: Relation | TableInfo): boolean => {
  const sameOid = table.oid === definition.table.oid
  const sameName = table.schema === definition.table.schema && table.name === definition.table.name
  if (sameOid !== sameName) return true
  if ("primaryKey" in table) {
    const key = keyColumns(table)
    if (!sameList(key, definition.keyColumns)) return true
    if (definition.hasPrimaryKey !== table.primaryKey.length > 0) return true
    if (definition.leafOids !== undefined && partitionsChanged(definition.leafOids, table)) return true
    return columnsAffect(definition, table.columns.map(fromCatalogue), false)
  }
  return columnsAffect(definition, table.columns, true)
}

/** `isAffectedBy` for all shapes of a template. */
export const affectedTemplate = (
  table: Relation | TableInfo
): ((template: DefinitionTemplate) => boolean) => {
  const judge = judgeOf(table)
  return ({ common, form }) => judge(form === undefined ? common : { ...common, where: form.clause })
}

/**
 * Those of the shapes that `isAffectedBy` the table. Most shapes of a table differ in their conditions only, which share
 * one verdict, and no definition is made for it: there may be a million of them.
 */
export const affectedAmong = <
  S extends { readonly definition: ShapeDefinition; readonly template: DefinitionTemplate }
>(
  shapes: Iterable<S>,
  table: Relation | TableInfo
): Array<S> => {
  const affected: Array<S> = []
  const judge = judgeOf(table)
  const verdicts = new Map<DefinitionTemplate, boolean>()
  let latest: DefinitionTemplate | undefined
  let isAffected = false
  for (const shape of shapes) {
    const { template } = shape
    if (template !== latest) {
      latest = template
      isAffected = verdicts.get(template) ?? judge(shape.definition)
      verdicts.set(template, isAffected)
    }
    if (isAffected) affected.push(shape)
  }
  return affected
}

/** Definitions that share no template may be alike nevertheless. */
const judgeOf = (table: Relation | TableInfo): ((definition: Judged) => boolean) => {
  const verdicts: Array<{ readonly of: Judged; readonly isAffected: boolean }> = []
  return (definition) => {
    const known = verdicts.find(({ of }) => isJudgedAlike(of, definition))
    if (known !== undefined) return known.isAffected
    const isAffected = isAffectedBy(definition, table)
    if (verdicts.length < verdictsKept) verdicts.push({ of: definition, isAffected })
    return isAffected
  }
}

/**
 * Whether what sub-selects read of a table is not what it was when the clause was compiled: the table has another name, another
 * table has its name, a column that they use is gone, was replaced, or changed so that stored values may read differently, or
 * a partition went with its rows. `table` as for `isAffectedBy`. What the sub-selects do not use does not matter.
 */
export const isMemberAffectedBy = (member: MemberTable, table: Relation | TableInfo): boolean => {
  const sameOid = table.oid === member.table.oid
  const sameName = table.schema === member.table.schema && table.name === member.table.name
  if (sameOid !== sameName) return true
  const isCatalogue = "primaryKey" in table
  if (isCatalogue && member.leafOids !== undefined && partitionsChanged(member.leafOids, table)) return true
  const columns: ReadonlyArray<DefinedColumn> = isCatalogue ? table.columns.map(fromCatalogue) : table.columns
  return member.columns.some((before) => {
    const after = columns.find(({ name }) => name === before.name)
    return after === undefined || mayReadDifferently(before, after)
  })
}

/** Those of the shapes whose sub-selects read the table with this OID and are affected by what it is now. */
export const membersAffectedAmong = <S extends { readonly members: ReadonlyArray<MemberTable> }>(
  shapes: Iterable<S>,
  oid: number,
  table: Relation | TableInfo
): Array<S> => {
  const affected: Array<S> = []
  // Clauses that differ in constants only share their members.
  const verdicts = new Map<MemberTable, boolean>()
  for (const shape of shapes) {
    const member = shape.members.find((one) => one.table.oid === oid)
    if (member === undefined) continue
    let isAffected = verdicts.get(member)
    if (isAffected === undefined) verdicts.set(member, (isAffected = isMemberAffectedBy(member, table)))
    if (isAffected) affected.push(shape)
  }
  return affected
}

/** Where there are more kinds of definitions than these, finding the verdict would cost as much as coming to it. */
const verdictsKept = 32

/** Made from the same parts: whatever happens to the table affects both or neither. */
const isJudgedAlike = (a: Judged, b: Judged): boolean =>
  a === b ||
  (a.columns === b.columns &&
    a.tableColumns === b.tableColumns &&
    a.keyColumns === b.keyColumns &&
    a.leafOids === b.leafOids &&
    a.whereColumns === b.whereColumns &&
    (a.where === undefined) === (b.where === undefined) &&
    a.table === b.table &&
    a.hasPrimaryKey === b.hasPrimaryKey &&
    a.selectsAllColumns === b.selectsAllColumns)

/**
 * Whether rows went from a partitioned table without a change in the stream: a leaf partition was detached or dropped.
 * A new leaf does not say whether it was created empty or attached with rows; who compares two descriptions of the
 * table can tell (`TableDifference.leavesAttached`).
 */
export const partitionsChanged = (leafOidsBefore: ReadonlyArray<number>, table: TableInfo): boolean => {
  const now = new Set(table.leafOids)
  return leafOidsBefore.some((oid) => !now.has(oid))
}

/**
 * Whether the table has a leaf partition that the shape, made when it had these, never saw, and that came with rows of its
 * own: it was attached, or something above it was, and nobody was there to see it.
 */
export const gainedAttached = (leafOidsBefore: ReadonlyArray<number>, table: TableInfo): boolean => {
  const partitions = new Map((table.partitions ?? []).map((partition) => [partition.oid, partition]))
  const known = new Set<number>()
  for (const leaf of leafOidsBefore) {
    for (let at: number | undefined = leaf; at !== undefined; at = partitions.get(at)?.parentOid)
      known.add(at)
  }
  for (const leaf of table.leafOids) {
    for (
      let at = partitions.get(leaf);
      at !== undefined && !known.has(at.oid);
      at = partitions.get(at.parentOid)
    ) {
      if (at.attached) return true
    }
  }
  return false
}

const fromCatalogue = (column: TableInfo["columns"][number]): DefinedColumn => ({
  name: column.name,
  typeOid: column.typeOid,
  typeModifier: column.typeModifier,
  attnum: column.attnum,
  notNull: column.notNull,
  ...(column.contents === undefined ? {} : { contents: column.contents })
})

const columnsAffect = (
  definition: Judged,
  columns: ReadonlyArray<DefinedColumn>,
  mayLackGenerated: boolean
): boolean => {
  const hasEveryColumn = definition.selectsAllColumns || !definition.hasPrimaryKey
  const mayUseAny = definition.where !== undefined && definition.whereColumns === undefined
  const used = new Set([...definition.columns, ...definition.keyColumns, ...(definition.whereColumns ?? [])])
  const now = new Map(columns.map((column) => [column.name, column]))
  for (const before of definition.tableColumns) {
    const after = now.get(before.name)
    now.delete(before.name)
    if (after === undefined) {
      if (used.has(before.name)) return true
      if ((hasEveryColumn || mayUseAny) && !(mayLackGenerated && before.generated === true)) return true
    } else if (mayUseAny || used.has(before.name)) {
      if (mayReadDifferently(before, after)) return true
      if (before.notNull === true && after.notNull === false && definition.columns.includes(before.name))
        return true
    }
  }
  return hasEveryColumn && now.size > 0
}

/** Whether values of the column may have other texts than they had before. */
export const mayReadDifferently = (before: DefinedColumn, after: DefinedColumn): boolean =>
  before.typeOid !== after.typeOid ||
  contentsChanged(before.contents, after.contents) ||
  (before.attnum !== undefined && after.attnum !== undefined && before.attnum !== after.attnum) ||
  (before.typeModifier !== undefined &&
    after.typeModifier !== undefined &&
    modifierChangesValues(before.typeOid, before.typeModifier, after.typeModifier))

const varchar = 1043
const varbit = 1562
const numeric = 1700
const timesWithPrecision = new Set([1083, 1114, 1184, 1266])
const noModifier = -1

/**
 * Whether a column whose type modifier changed may hold other texts than before. False exactly where Postgres leaves
 * the stored values alone: a longer limit, a higher precision, or none at all.
 * Source: the length coercion support functions (`varchar_support`, `numeric_support`, `timestamp_support` ...).
 */
const modifierChangesValues = (typeOid: number, before: number, after: number): boolean => {
  if (before === after) return false
  const isLoosened = before !== noModifier && (after === noModifier || after > before)
  if (typeOid === varchar || typeOid === varbit || timesWithPrecision.has(typeOid)) return !isLoosened
  // A higher precision with the same scale: the scale is the lower half, so the whole number grows.
  if (typeOid === numeric) return !isLoosened || (after !== noModifier && scale(after) !== scale(before))
  return true
}

const scale = (numericModifier: number): number => (numericModifier - 4) & 0x7ff

const sameList = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i])
