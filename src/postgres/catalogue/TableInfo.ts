/**
 * A table as the catalogue describes it. Column order is attribute order, without dropped columns. Plain data: it
 * can be stored as JSON and read back.
 */
export interface TableInfo {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly kind: "table" | "partitioned"
  readonly columns: ReadonlyArray<ColumnInfo>
  /** Column names in primary-key order; empty when the table has none (then all columns are the key). */
  readonly primaryKey: ReadonlyArray<string>
  /** OIDs of the partitioned tables above this one, nearest first; empty for ordinary tables. */
  readonly ancestorOids: ReadonlyArray<number>
  /** OIDs of all leaf partitions below a partitioned table; empty for ordinary tables. */
  readonly leafOids: ReadonlyArray<number>
  /** Everything below a partitioned table, leaves and what is between. Optional so that hand-made ones can leave it out. */
  readonly partitions?: ReadonlyArray<PartitionInfo>
}

export interface PartitionInfo {
  readonly oid: number
  readonly parentOid: number
  /**
   * It was, or may have been, a table of its own before it was attached to its parent, and may have brought rows along
   * that no change in the stream tells of.
   */
  readonly attached: boolean
}

export interface ColumnInfo {
  readonly name: string
  /** `pg_attribute.attnum` */
  readonly attnum: number
  readonly typeOid: number
  /** `pg_type.typname`; for arrays the array type's own name (`_int4`). */
  readonly typeName: string
  readonly typeSchema: string
  /** `pg_attribute.atttypmod`, -1 when the type has no modifier. */
  readonly typeModifier: number
  /** `pg_attribute.attndims`; 0 for scalars. */
  readonly dimensions: number
  /** `pg_type.typtype`: base, composite, domain, enum, pseudo, range, multirange. */
  readonly typeKind: "b" | "c" | "d" | "e" | "p" | "r" | "m"
  /** Element type of an array, `undefined` for other types. */
  readonly element: { readonly typeOid: number; readonly typeName: string } | undefined
  /** Base type of a domain (at the bottom of a chain of domains), `undefined` for other types. */
  readonly baseTypeOid: number | undefined
  /** `pg_attribute.attcollation`, 0 when not collatable. */
  readonly collationOid: number
  /**
   * The type's output function as SQL, e.g. `pg_catalog.int4out`: what the replication stream applies to a value.
   * For domains that of the base type. Optional so that hand-made descriptions can leave it out.
   */
  readonly outputFunction?: string
  /** Name of a domain's base type as SQL; absent for other types. */
  readonly baseTypeName?: string
  /** What types of the database's own make are made of; absent for built-in types. */
  readonly contents?: TypeContents
  readonly notNull: boolean
  readonly generated: "no" | "stored" | "virtual"
}

/**
 * The enums and composite types in a type, itself or below it, by OID: labels by the OID that they keep when they are
 * renamed, and fields with name, type and modifier. Texts of values change when these do, without a word in the stream.
 */
export type TypeContents = Readonly<
  Record<string, Readonly<Record<string, string>> | ReadonlyArray<readonly [string, number, number]> | null>
>

const isEnum = (content: TypeContents[string] | undefined): content is Readonly<Record<string, string>> =>
  content != null && !Array.isArray(content)

/**
 * Whether values of the type may read differently than before. Further labels of an enum change nothing. Total: a type
 * without labels or fields was once written down as null.
 */
export const contentsChanged = (
  before: TypeContents | undefined,
  after: TypeContents | undefined
): boolean => {
  if (before === undefined || after === undefined) return false
  return Object.entries(before).some(([oid, was]) => {
    const is = after[oid]
    if (was === null) return Array.isArray(is) && is.length > 0
    if (is === undefined || !isEnum(was) || !isEnum(is)) return JSON.stringify(was) !== JSON.stringify(is)
    return Object.entries(was).some(([label, text]) => is[label] !== text)
  })
}
