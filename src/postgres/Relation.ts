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
