/** A table as the replication stream describes it (pgoutput `Relation` message). */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `d` default, `n` nothing, `f` full, `i` index: `pg_class.relreplident`. */
  readonly replicaIdentity: "d" | "n" | "f" | "i"
  /** In attribute order, without dropped columns; generated ones only where the publication has them. */
  readonly columns: ReadonlyArray<RelationColumn>
}

export interface RelationColumn {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier: number
  /** Part of the replica identity. */
  readonly isKey: boolean
}

/** Do two descriptions say the same about a table, which columns are its key aside? The catalogue's has no key. */
export const sameRelation = (a: Relation, b: Relation): boolean =>
  a.oid === b.oid &&
  a.schema === b.schema &&
  a.name === b.name &&
  a.replicaIdentity === b.replicaIdentity &&
  a.columns.length === b.columns.length &&
  a.columns.every((column, i) => {
    const other = b.columns[i]
    return (
      other !== undefined &&
      column.name === other.name &&
      column.typeOid === other.typeOid &&
      column.typeModifier === other.typeModifier
    )
  })
