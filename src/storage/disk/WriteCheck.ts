import { access, constants, mkdir, open, stat, unlink } from "node:fs/promises"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { randomUUID } from "node:crypto"
import { directoryMode, fileMode, type StoragePaths } from "./StorageDir.ts"

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
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

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
export const writeProblem = ({ path, variable }: StorageDirectory, error: unknown): WriteProblem => {
  const code = codeOf(error)
  const user = process.getuid === undefined ? "this user" : `uid ${process.getuid()}`
  const advice = wordings[code] ?? "check the disk, and the path"
  const where = (error as NodeJS.ErrnoException).path
  const inside = where?.startsWith(join(path, "/")) === true ? ` at ${where}` : ""
  return {
    message: `${variable}=${path} cannot be written by ${user}: ${code}${inside}; ${advice}`,
    isFull: code === "ENOSPC" || code === "EDQUOT"
  }
}

/** One after the other: Node's own way never ends below a directory that says that nothing can be there. */
const makeDirectory = async (path: string): Promise<void> => {
  try {
    await mkdir(path, directoryMode)
  } catch (error) {
    if (codeOf(error) === "EEXIST") return
    if (codeOf(error) !== "ENOENT" || path === dirname(path) || existsSync(dirname(path))) throw error
    await makeDirectory(dirname(path))
    await mkdir(path, directoryMode)
  }
}

/** Makes a file, writes a byte and removes it again; makes the directory if it is missing. */
const tryToWrite = async (directory: string): Promise<void> => {
  if (!existsSync(directory)) await makeDirectory(directory)
  if (!(await stat(directory)).isDirectory())
    throw Object.assign(new Error("not a directory"), { code: "EEXIST" })
  const path = join(directory, `.write-check-${process.pid}-${randomUUID()}`)
  const file = await open(path, "wx", fileMode)
  try {
    await file.write(Buffer.from("1"))
    // A network file system may only say now that there is no room.
    await file.datasync()
  } finally {
    await file.close()
    await unlink(path)
  }
}

/** What is there already must be ours, too: it may have been made by another user. */
const tryToEnter = async (directory: string): Promise<void> => {
  try {
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
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
      await tryToWrite(directory.path)
      for (const part of [paths.root, paths.epochs, paths.journal, paths.indexes, paths.shapes, paths.meta])
        if (part.startsWith(directory.path)) await tryToEnter(part)
    } catch (error) {
      return writeProblem(directory, error)
    }
  }
  return undefined
}
