import { formatOffset } from "../../shapes/LogOffset.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { type EvaluationReport, evaluationReport } from "./ShapeAdvice.ts"
import { type ShapeRow, shapeRow } from "./ShapeRow.ts"

/** One shape in depth. */
export interface ShapeDetail extends ShapeRow {
  readonly keyColumns: ReadonlyArray<string>
  readonly hasPrimaryKey: boolean
  readonly evaluationDetail: EvaluationReport
  /** Tables that sub-selects of its condition read. */
  readonly memberTables: ReadonlyArray<string>
  readonly snapshot: {
    readonly chunks: number
    readonly complete: boolean
    /** Bytes of the chunk that is being written now; null when none is. */
    readonly writingBytes: number | null
  }
  readonly logFiles: number
  /** Changes that stand in the journal, and their bytes. */
  readonly journal: { readonly changes: number; readonly bytes: number }
  /** Path and query of a request for it from the beginning, without a secret. */
  readonly request: string
}

/** What a client asks for this shape with. Names are quoted where Postgres would fold them otherwise. */
export const requestOf = (shape: ShapeState): string => {
  const { columns, log, replica, selectsAllColumns, table, where } = shape.definition
  const params = new URLSearchParams({ table: `${quoted(table.schema)}.${quoted(table.name)}`, offset: "-1" })
  if (where !== undefined) params.set("where", where.sql)
  if (!selectsAllColumns) params.set("columns", columns.map(quoted).join(","))
  if (replica !== "default") params.set("replica", replica)
  if (log !== "full") params.set("log", log)
  return `/v1/shape?${params.toString()}`
}

const plainName = /^[a-z_][a-z0-9_]*$/
const quoted = (name: string): string => (plainName.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

export const shapeDetail = (shape: ShapeState, readersElsewhere = 0): ShapeDetail => {
  const row = shapeRow(shape, readersElsewhere)
  const { hasPrimaryKey, keyColumns, where } = shape.definition
  const { running, tail } = shape
  let journalBytes = 0
  if (tail !== undefined) for (let i = 0; i < tail.count; i++) journalBytes += tail.length(i)
  return {
    ...row,
    keyColumns,
    hasPrimaryKey,
    evaluationDetail: evaluationReport(row.evaluation, where?.reason),
    memberTables: shape.members.map(({ table }) => `${table.schema}.${table.name}`),
    snapshot: {
      chunks: shape.snapshotChunks.length,
      complete: shape.snapshotComplete,
      writingBytes: running === undefined || running.finished ? null : running.writtenBytes
    },
    logFiles: shape.files.length,
    journal: { changes: tail?.count ?? 0, bytes: journalBytes },
    offset: formatOffset(shape.end),
    request: requestOf(shape)
  }
}
