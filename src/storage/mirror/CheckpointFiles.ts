import { DatabaseSync } from "node:sqlite"
import { basename, join } from "node:path"
import type { ChainPlace } from "../chain/ChainObject.ts"
import { checkpointFiles, type StoredHead } from "../checkpoint/CheckpointFile.ts"
import { textChecksum, type TextRow } from "../checkpoint/CheckpointRow.ts"
import { epochFile, metaFile, namesFile, parseSegmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { type EpochRecord, readEpochs } from "../journal/Epochs.ts"
import { schemaFileNames } from "../SchemaFiles.ts"

/** A file that goes into a checkpoint object, by the name that it has there, and its bytes that count. */
export interface CountedFile {
  readonly name: string
  readonly path: string
  readonly bytes: number
}

/** What a directory holds up to a place in the chain. */
export interface CheckpointFiles {
  /** Of the writer of the local checkpoint; 0 without one: then the journal is there from its beginning. */
  readonly epoch: number
  /** Where the journal begins. */
  readonly head: { readonly epoch: number; readonly segment: number }
  readonly files: ReadonlyArray<CountedFile>
  readonly bytes: number
}

const journalName = /^journal\/([0-9a-f]{8}-[0-9a-f]{8})$/
const epochName = /^epochs\/([0-9a-f]{8})$/

/** Where a file of a checkpoint object belongs; `undefined` for a name that is not known. */
export const placeOfFile = (paths: StoragePaths, epoch: number, name: string): string | undefined => {
  if (name === "meta") return metaFile(paths, epoch)
  if (name === "names") return namesFile(paths, epoch)
  if (schemaFileNames.has(name)) return join(paths.root, name)
  const segment = journalName.exec(name)?.[1]
  if (segment !== undefined) return join(paths.journal, segment)
  const opened = epochName.exec(name)?.[1]
  return opened === undefined ? undefined : epochFile(paths, parseInt(opened, 16))
}

/**
 * All of the directory that a start at `place` needs beside the files of shapes: the newest finished checkpoint and what stands
 * beside it, and of the journal and its epochs what comes behind and is in the chain by then. `undefined` when there is nothing yet.
 * Only for a writer, and while it writes no checkpoint.
 */
export const filesUpTo = async (
  paths: StoragePaths,
  place: ChainPlace
): Promise<CheckpointFiles | undefined> => {
  const epochs = await readEpochs(paths, 0)
  const journal = (await paths.disk.list(paths.journal)).toSorted().flatMap((name) => {
    const file = parseSegmentFile(name)
    return file === undefined ? [] : [{ ...file, name, limit: limitOf(epochs, place, file) }]
  })
  const counted = journal.filter(({ limit }) => limit !== undefined)
  const newest = await newestCheckpoint(paths)
  // Without a checkpoint the journal is all there is, if it is there from its beginning.
  const head = newest?.head ?? counted[0]
  if (head === undefined || (newest === undefined && head.segment !== 1)) return undefined
  const files: Array<CountedFile> = []
  const add = async (name: string, path: string, limit = Infinity) => {
    const found = await paths.disk.stat(path)
    if (found !== undefined) files.push({ name, path, bytes: Math.min(found.size, limit) })
  }
  if (newest !== undefined) {
    await add("meta", metaFile(paths, newest.epoch))
    await add("names", namesFile(paths, newest.epoch))
  }
  for (const name of schemaFileNames) await add(name, join(paths.root, name))
  for (const { epoch } of epochs)
    if (epoch >= head.epoch && epoch <= (place.opening?.epoch ?? 0)) {
      const path = epochFile(paths, epoch)
      await add(`epochs/${basename(path)}`, path)
    }
  for (const { limit, name, segment } of counted)
    if (segment >= head.segment) await add(`journal/${name}`, join(paths.journal, name), limit)
  let bytes = 0
  for (const file of files) bytes += file.bytes
  return {
    epoch: newest?.epoch ?? 0,
    head: { epoch: head.epoch, segment: head.segment },
    files,
    bytes
  }
}

/** Up to where a file of the journal is in the chain at a place; `undefined` for one that counts nothing. */
const limitOf = (
  epochs: ReadonlyArray<EpochRecord>,
  { end, opening }: ChainPlace,
  { epoch, segment }: { readonly epoch: number; readonly segment: number }
): number | undefined => {
  const last =
    epoch === opening?.epoch ? end : epochs.find(({ previous }) => previous?.epoch === epoch)?.previous
  if (last === undefined || last === null || segment > last.segment) return undefined
  if (epoch > (opening?.epoch ?? 0)) return undefined
  return segment === last.segment ? last.position : Infinity
}

/** One that a writer has begun and not finished has no head. */
const newestCheckpoint = async (paths: StoragePaths) => {
  for (const path of await checkpointFiles(paths)) {
    const head = headOf(path)
    if (head !== undefined) return { head, epoch: parseInt(basename(path).slice(5, 13), 16) }
  }
  return undefined
}

const headOf = (path: string): StoredHead | undefined => {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { readOnly: true })
    const row = database.prepare("SELECT key AS id, value AS text, crc FROM head").get()
    const { crc, id, text } = row as unknown as TextRow
    return textChecksum(id, text) === crc ? (JSON.parse(text) as StoredHead) : undefined
  } catch {
    return undefined
  } finally {
    database?.close()
  }
}
