import { dirname } from "node:path"
import type { Disk, DiskFile } from "./Disk.ts"
import { DiskFault, isGone } from "./DiskFault.ts"

/** Completes when all of it has ended, whichever way, and then fails if one has failed: nothing is left under way. */
export const allDone = async (work: ReadonlyArray<Promise<unknown>>): Promise<void> => {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason
}

/** Fills `into` from `position` of the file on; false when the file ends before. */
export const fill = async (file: DiskFile, position: number, into: Uint8Array): Promise<boolean> => {
  for (let at = 0; at < into.length;) {
    const bytes = await file.read(into, at, into.length - at, position + at)
    if (bytes === 0) return false
    at += bytes
  }
  return true
}

export const writeFully = async (file: DiskFile, bytes: Uint8Array, position: number): Promise<void> => {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes, at, bytes.length - at, position + at)
}

/** The whole of a file as it is now; `undefined` when it is not there. */
export const readWhole = async (disk: Disk, path: string): Promise<Buffer | undefined> => {
  const file = await disk.open(path)
  if (file === undefined) return undefined
  try {
    const content = Buffer.allocUnsafeSlow((await file.stat()).size)
    let at = 0
    while (at < content.length) {
      const bytes = await file.read(content, at, content.length - at, at)
      if (bytes === 0) break
      at += bytes
    }
    return content.subarray(0, at)
  } finally {
    await file.close()
  }
}

/** What is read and written at a time, of a file that is written once more. */
const againBytes = 1 << 20

/**
 * Makes durable what stands in a file from `from` on and up to `to`, whichever process wrote it: the same bytes are written to the same
 * places, and synced. A sync alone would not do. Once one has failed, in whichever process, the system takes what it could not write
 * for written, and the next one succeeds (Linux, "Error reporting in the VFS"; over NFS a sync is about what this machine wrote).
 * A file that is not there any more is left out.
 */
export const writeAgain = async (disk: Disk, path: string, from = 0, to = Infinity): Promise<void> => {
  const file = await openExisting(disk, path)
  if (file === undefined) return
  try {
    const end = Math.min(to, (await file.stat()).size)
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(end - from, againBytes)))
    for (let at = from; at < end;) {
      const bytesRead = await file.read(bytes, 0, Math.min(bytes.length, end - at), at)
      if (bytesRead === 0) break
      await writeFully(file, bytes.subarray(0, bytesRead), at)
      at += bytesRead
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

const openExisting = async (disk: Disk, path: string): Promise<DiskFile | undefined> => {
  try {
    return await disk.openToWrite(path, "existing")
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/**
 * Writes a small file so that it is either not there or whole, for its readers as long as the system runs. After a
 * crash of the system it may be damaged, unless it was synced before.
 */
export const writeWhole = async (disk: Disk, path: string, content: string | Uint8Array): Promise<void> => {
  const temporary = `${path}.${process.pid}.tmp`
  const file = await disk.openToWrite(temporary, "empty")
  try {
    await writeFully(file, typeof content === "string" ? Buffer.from(content) : content, 0)
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
}

/** The same, and durable when it completes: file and name. */
export const writeDurably = async (disk: Disk, path: string, content: string): Promise<void> => {
  const temporary = `${path}.${process.pid}.tmp`
  const file = await disk.openToWrite(temporary, "empty")
  try {
    await writeFully(file, Buffer.from(content), 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  await disk.syncDirectory(dirname(path))
}

/**
 * Makes a directory and those above it that are missing. One after the other: Node's own way never ends below a directory
 * that says that nothing can be there.
 */
export const makeDirectories = async (disk: Disk, path: string): Promise<void> => {
  try {
    await disk.makeDirectory(path)
  } catch (error) {
    const isMissing = error instanceof DiskFault && error.code === "ENOENT" && path !== dirname(path)
    if (!isMissing || (await disk.stat(dirname(path))) !== undefined) throw error
    await makeDirectories(disk, dirname(path))
    await disk.makeDirectory(path)
  }
}
