import { formatOffset } from "../../shapes/LogOffset.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"

/**
 * What it takes to find the shapes that a changed row belongs to. `all`: there is no condition. `unknown`: the shape was made by
 * a release that did not judge that.
 */
export type Evaluation = "all" | "indexed" | "evaluated" | "postgres" | "unknown"

/** One line of the list of shapes, as plain data. */
export interface ShapeRow {
  readonly handle: string
  /** `schema.name`, as Postgres has them, unquoted. */
  readonly table: string
  readonly where: string | null
  /** Of a selection of columns; null: all of them. */
  readonly columns: ReadonlyArray<string> | null
  readonly replica: "default" | "full"
  readonly log: "full" | "changes_only"
  readonly evaluation: Evaluation
  /** `loading` while its first rows are being written. */
  readonly state: "loading" | "ready"
  /** Of its first rows, as they are stored. */
  readonly snapshotBytes: number
  /** Of the changes since, in files of its own. */
  readonly logBytes: number
  /** Changes since its first rows, those that still stand in the journal included. */
  readonly changes: number
  /** Share of its stored bytes that are changes, 0 to 1; null while nothing is stored in files of its own. */
  readonly dirtyShare: number | null
  /** Requests that wait for a change of it, in all processes of the instance. */
  readonly readers: number
  readonly createdAt: string
  /** When a client last asked for it, as far as this process knows. */
  readonly lastReadAt: string
  /** Nobody has read it for so long that only a record of it is in memory; the next request wakes it. */
  readonly dormant: boolean
  /** The end of its log. */
  readonly offset: string
}

export const tableOf = ({ common }: ShapeState): string => `${common.table.schema}.${common.table.name}`

export const snapshotBytesOf = ({ rowBytes }: ShapeState): number => rowBytes

export const logBytesOf = ({ files }: ShapeState): number => {
  let bytes = 0
  for (const file of files) bytes += file.bytes
  return bytes
}

export const changesOf = ({ files, tail }: ShapeState): number => {
  let changes = tail?.count ?? 0
  for (const file of files) changes += file.entries
  return changes
}

export const dirtyShareOf = (snapshotBytes: number, logBytes: number): number | null =>
  snapshotBytes + logBytes === 0 ? null : logBytes / (snapshotBytes + logBytes)

export const evaluationOf = (shape: ShapeState): Evaluation => {
  if (!shape.hasCondition) return "all"
  return shape.definition.where?.classification ?? "unknown"
}

/** A date as text; dates that there are none of, which damaged storage might hold, as the beginning of time. */
export const isoTime = (millis: number): string =>
  new Date(Number.isFinite(millis) && Math.abs(millis) <= 8.64e15 ? millis : 0).toISOString()

/** `readersElsewhere`: in other processes than this one. */
export const shapeRow = (shape: ShapeState, readersElsewhere = 0): ShapeRow => {
  const { columns, log, replica, selectsAllColumns, where } = shape.definition
  const snapshotBytes = snapshotBytesOf(shape)
  const logBytes = logBytesOf(shape)
  return {
    handle: shape.handle,
    table: tableOf(shape),
    where: where?.sql ?? null,
    columns: selectsAllColumns ? null : columns,
    replica,
    log,
    evaluation: where === undefined ? "all" : (where.classification ?? "unknown"),
    state: shape.snapshotComplete ? "ready" : "loading",
    snapshotBytes,
    logBytes,
    changes: changesOf(shape),
    dirtyShare: dirtyShareOf(snapshotBytes, logBytes),
    readers: (shape.waiters?.size ?? 0) + readersElsewhere,
    createdAt: isoTime(shape.createdAtMillis),
    lastReadAt: isoTime(shape.lastUsedMillis),
    dormant: shape.isDormant,
    offset: formatOffset(shape.end)
  }
}
