import {
  accessSync,
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync
} from "node:fs"
import type { DiskFile, FileStat, OpenForWriting } from "../../src/storage/disk/Disk.ts"
import { diskFault, type DiskOperation } from "../../src/storage/disk/DiskFault.ts"

const { O_CREAT, O_EXCL, O_RDWR, O_TRUNC } = constants
const flags: Readonly<Record<OpenForWriting, number>> = {
  existing: O_RDWR,
  any: O_RDWR | O_CREAT,
  empty: O_RDWR | O_CREAT | O_TRUNC,
  new: O_RDWR | O_CREAT | O_EXCL
}

const attempt = <A>(operation: DiskOperation, path: string, work: () => A): A => {
  try {
    return work()
  } catch (error) {
    throw diskFault(operation, path, error)
  }
}

const unlessMissing = <A>(work: () => A): A | undefined => {
  try {
    return work()
  } catch (error) {
    if ((error as { readonly code?: string }).code === "ENOENT") return undefined
    throw error
  }
}

/**
 * Files of the machine that stand beside a disk in memory: SQLite opens its own. Every call is done when it returns, so that
 * the order of all that happens is that of the test, and not of the kernel.
 */
class FileBeside implements DiskFile {
  readonly path: string
  private readonly fd: number

  constructor(path: string, fd: number) {
    this.path = path
    this.fd = fd
  }

  async read(into: Uint8Array, at: number, length: number, position: number): Promise<number> {
    return attempt("read", this.path, () => readSync(this.fd, into, at, length, position))
  }
  async write(bytes: Uint8Array, at: number, length: number, position: number): Promise<number> {
    return attempt("write", this.path, () => writeSync(this.fd, bytes, at, length, position))
  }
  async sync(): Promise<void> {
    attempt("sync", this.path, () => fdatasyncSync(this.fd))
  }
  async stat(): Promise<FileStat> {
    return attempt("look at", this.path, () => fstatSync(this.fd))
  }
  async close(): Promise<void> {
    closeSync(this.fd)
  }
}

export const beside = {
  open: (path: string): DiskFile | undefined =>
    attempt("open", path, () => unlessMissing(() => new FileBeside(path, openSync(path, "r")))),
  openToWrite: (path: string, how: OpenForWriting): DiskFile =>
    attempt("create", path, () => new FileBeside(path, openSync(path, flags[how], 0o600))),
  stat: (path: string): FileStat | undefined =>
    attempt("look at", path, () => unlessMissing(() => statSync(path))),
  list: (path: string): ReadonlyArray<string> =>
    attempt("list", path, () => unlessMissing(() => readdirSync(path)) ?? []),
  makeDirectory: (path: string): void =>
    attempt("make", path, () => void mkdirSync(path, { recursive: true, mode: 0o700 })),
  remove: (path: string): void =>
    attempt("remove", path, () => rmSync(path, { recursive: true, force: true })),
  checkAccess: (path: string): void => attempt("enter", path, () => accessSync(path))
}
