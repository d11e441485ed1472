import { type Relation, type RelationColumn, sameRelation } from "../../postgres/Relation.ts"
import { atEnd, MalformedMessage, tooShort } from "./MalformedMessage.ts"

/**
 * Reads the Relation message whose content is `buffer[at .. end]`. Throws `MalformedMessage`.
 * Source: PostgreSQL documentation, "Logical Replication Message Formats".
 */
export const readRelation = (buffer: Buffer, at: number, end: number): Relation => {
  const kind = "Relation"
  if (end - at < 4) throw tooShort(kind)
  const oid = buffer.readUInt32BE(at)
  const schemaEnd = textEnd(buffer, at + 4, end)
  const nameEnd = textEnd(buffer, schemaEnd + 1, end)
  let next = nameEnd + 1
  if (end - next < 3) throw tooShort(kind)
  const replicaIdentity = replicaIdentities.get(buffer[next] ?? 0)
  if (replicaIdentity === undefined) {
    throw new MalformedMessage({ kind, why: "its replica identity is unknown" })
  }
  const columnCount = buffer.readUInt16BE(next + 1)
  next += 3
  const columns: Array<RelationColumn> = []
  for (let i = 0; i < columnCount; i++) {
    if (next >= end) throw tooShort(kind)
    const flags = buffer[next] ?? 0
    const columnEnd = textEnd(buffer, next + 1, end)
    if (end - columnEnd < 9) throw tooShort(kind)
    columns.push({
      name: buffer.toString("utf8", next + 1, columnEnd),
      typeOid: buffer.readUInt32BE(columnEnd + 1),
      typeModifier: buffer.readInt32BE(columnEnd + 5),
      isKey: (flags & 1) !== 0
    })
    next = columnEnd + 9
  }
  atEnd(next, end, kind)
  // Postgres leaves the schema empty when it is pg_catalog.
  const schema = schemaEnd === at + 4 ? "pg_catalog" : buffer.toString("utf8", at + 4, schemaEnd)
  return { oid, schema, name: buffer.toString("utf8", schemaEnd + 1, nameEnd), replicaIdentity, columns }
}

const replicaIdentities = new Map<number, Relation["replicaIdentity"]>([
  [0x64, "d"],
  [0x6e, "n"],
  [0x66, "f"],
  [0x69, "i"]
])

/** Position of the zero byte that ends the text at `at`. */
const textEnd = (buffer: Buffer, at: number, end: number): number => {
  const zero = at < end ? buffer.indexOf(0, at) : -1
  if (zero < 0 || zero >= end) throw tooShort("Relation")
  return zero
}

/** Do two messages say the same about a table? */
export const sameMessage = (a: Relation, b: Relation): boolean =>
  sameRelation(a, b) && a.columns.every(({ isKey }, i) => isKey === b.columns[i]?.isKey)
