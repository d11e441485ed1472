import { join } from "node:path"
import type { JournalEnd } from "./records/Records.ts"
import { parseSegmentFile, type StoragePaths } from "./disk/StorageDir.ts"

interface JournalFile {
  readonly epoch: number
  readonly segment: number
  readonly bytes: number
}

/** The files of the journal as they are now. One that goes away meanwhile is left out. */
export const journalFiles = async (paths: StoragePaths): Promise<ReadonlyArray<JournalFile>> => {
  const files: Array<JournalFile> = []
  for (const name of await paths.disk.list(paths.journal)) {
    const parsed = parseSegmentFile(name)
    if (parsed === undefined) continue
    const bytes = await fileBytes(paths, join(paths.journal, name))
    if (bytes !== undefined) files.push({ ...parsed, bytes })
  }
  return files
}

export const fileBytes = async ({ disk }: StoragePaths, path: string): Promise<number | undefined> => {
  try {
    return (await disk.stat(path))?.size
  } catch {
    return undefined
  }
}

/** Bytes behind a reader's position. What a fenced-off writer left in an earlier epoch may count as well. */
export const bytesBehind = (files: ReadonlyArray<JournalFile>, at: JournalEnd): number => {
  let bytes = 0
  for (const file of files) {
    if (file.epoch === at.epoch && file.segment === at.segment) bytes += Math.max(0, file.bytes - at.position)
    else if (file.epoch > at.epoch || (file.epoch === at.epoch && file.segment > at.segment))
      bytes += file.bytes
  }
  return bytes
}
