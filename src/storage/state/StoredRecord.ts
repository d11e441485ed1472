import { logFileEnd } from "../records/Records.ts"
import { snapshotEnd } from "../../shapes/LogOffset.ts"
import { type FileBytes, writeShape } from "./DormantRecord.ts"
import type { ShapeFields, SnapshotChunk } from "./ShapeFields.ts"

/** Chunks that still stand in the journal come back with it. */
const chunksInFiles = ({ chunks }: ShapeFields): ReadonlyArray<SnapshotChunk> => {
  const all = "_tag" in chunks ? [chunks] : chunks
  const end = all.findIndex((chunk) => chunk?._tag !== "File")
  return end < 0 ? all : all.slice(0, end)
}

const bytesInFiles = (fields: ShapeFields, chunks: ReadonlyArray<SnapshotChunk>): FileBytes => {
  let rows = 0
  for (const chunk of chunks) rows += chunk.bytes
  for (const base of fields.compaction?.bases ?? []) for (const chunk of base.chunks) rows += chunk.bytes
  let log = 0
  for (const file of fields.files) log += file.bytes
  return { rows, log }
}

/**
 * The record that a checkpoint keeps of a shape, in bytes that hold until the next one is written: what it is without its entries in
 * the journal, and without those who use it now. `undefined` while its first rows are being made, and for texts that have no form as
 * bytes. `number`: that of its definition without text and constants.
 */
export const storedRecord = (id: number, number: number, fields: ShapeFields): Buffer | undefined => {
  const { createdAtMillis, files, lastUsedMillis } = fields
  const chunks = chunksInFiles(fields)
  const last = files.at(-1)
  const kept: ShapeFields = {
    ...fields,
    createdAtMillis: Math.trunc(createdAtMillis),
    lastUsedMillis: Math.trunc(lastUsedMillis),
    // The journal that is applied again tells of transactions that the snapshot contains.
    filters: fields.snapshot !== undefined,
    chunks,
    openChunkBytes: last === undefined || last.closed ? 0 : last.entryBytes,
    end: last === undefined ? snapshotEnd : logFileEnd(last),
    waiters: undefined,
    dirty: false
  }
  return writeShape(id, number, kept, undefined, bytesInFiles(fields, chunks))
}
