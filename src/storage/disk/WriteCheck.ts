import { join } from "node:path"
import { randomUUID } from "node:crypto"
import type { Disk } from "./Disk.ts"
import { DiskFault, diskFault } from "./DiskFault.ts"
import { makeDirectories, writeFully } from "./Files.ts"
import type { StoragePaths } from "./StorageDir.ts"

/** A directory that storage is to be written to, and the variable that names it. */
interface StorageDirectory {
  readonly variable: string
  readonly path: string
}

/** Why storage cannot be written, and what to do about it. */
interface WriteProblem {
  readonly message: string
  /** The disk is full, which may pass without anybody's doing. */
  readonly isFull: boolean
  readonly cause: unknown
}

const wordings: Readonly<Record<string, string>> = {
  EACCES:
    "chown it, or set fsGroup (Kubernetes: securityContext.fsGroup; others: the owner of the mounted directory)",
  EPERM:
    "chown it, or set fsGroup (Kubernetes: securityContext.fsGroup; others: the owner of the mounted directory)",
  EROFS: "its file system is mounted read-only; mount it for writing",
  EEXIST: "it is a file; name a directory",
  ENOTDIR: "something in this path is no directory; name another one",
  ENOSPC: "there is no space for a single byte; make room",
  EDQUOT: "the quota is used up; make room, or raise it",
  ENOENT: "it is not there and cannot be made; make it, or mount what is to stand there",
  ELOOP: "its links lead in a circle; name another path",
  ESTALE: "the file server does not know it any more; mount it again"
}

/** What an operator is told about a directory that cannot be written. */
export const writeProblem = ({ path, variable }: StorageDirectory, cause: unknown): WriteProblem => {
  const { code, path: where = "" } = cause instanceof DiskFault ? cause : { code: String(cause) }
  const user = process.getuid === undefined ? "this user" : `uid ${process.getuid()}`
  const advice = wordings[code] ?? "check the disk, and the path"
  const inside = where.startsWith(join(path, "/")) ? ` at ${where}` : ""
  return {
    message: `${variable}=${path} cannot be written by ${user}: ${code}${inside}; ${advice}`,
    isFull: code === "ENOSPC" || code === "EDQUOT",
    cause
  }
}

/** Makes a file, writes a byte and removes it again; makes the directory if it is missing. */
const tryToWrite = async (disk: Disk, directory: string): Promise<void> => {
  if ((await disk.stat(directory)) === undefined) await makeDirectories(disk, directory)
  if ((await disk.stat(directory))?.isDirectory() !== true)
    throw diskFault("make", directory, { code: "EEXIST" })
  const path = join(directory, `.write-check-${process.pid}-${randomUUID()}`)
  const file = await disk.openToWrite(path, "new")
  try {
    await writeFully(file, Buffer.from("1"), 0)
    // A network file system may only say now that there is no room.
    await file.sync()
  } finally {
    await file.close()
    await disk.remove(path)
  }
}

/** What is there already must be ours, too: it may have been made by another user. */
const tryToEnter = async (disk: Disk, directory: string): Promise<void> => {
  try {
    await disk.checkAccess(directory)
  } catch (error) {
    if (!(error instanceof DiskFault) || error.code !== "ENOENT") throw error
  }
}

/**
 * Whether storage could be written, found out by doing it, without touching what it holds. For an instance that is about
 * to wait for its turn: it should not say so, and have its predecessor stopped, when it cannot write then.
 */
export const checkWritable = async (
  directories: ReadonlyArray<StorageDirectory>,
  paths: StoragePaths
): Promise<WriteProblem | undefined> => {
  for (const directory of directories) {
    try {
      await tryToWrite(paths.disk, directory.path)
      for (const part of [paths.root, paths.epochs, paths.journal, paths.indexes, paths.shapes, paths.meta])
        if (part.startsWith(directory.path)) await tryToEnter(paths.disk, part)
    } catch (error) {
      return writeProblem(directory, error)
    }
  }
  return undefined
}
