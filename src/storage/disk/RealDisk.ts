import { close, constants, fdatasync, fstat, open, openSync, read, write } from "node:fs"
import { access, link, mkdir, readdir, rename, rm, stat, statfs, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import type { Disk, DiskFile, FileStat, OpenForWriting } from "./Disk.ts"
import { DiskFault, diskFault, type DiskOperation, isGone } from "./DiskFault.ts"

/** Rows of an application are for its own user only, whatever the umask says. Directories that are there are left alone. */
const fileMode = 0o600
const directoryMode = 0o700

/**
 * File systems of Linux that belong to one machine (statfs(2)): a reader sees what was written. Any other one may be
 * shared, FUSE among them: virtiofs, and what containers on other systems see of their host.
 */
const localTypes: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlay: the writable layer of a container
  0x3153464a, // jfs
  0x4d44, // vfat
  0x2011bab0, // exfat
  0x7366746e // ntfs3
])

const isLinux = process.platform === "linux"

const flags: Readonly<Record<OpenForWriting, number>> = {
  existing: constants.O_RDWR,
  any: constants.O_RDWR | constants.O_CREAT,
  empty: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  new: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
}

const attempt = async <A>(operation: DiskOperation, path: string, work: Promise<A>): Promise<A> => {
  try {
    return await work
  } catch (error) {
    throw diskFault(operation, path, error)
  }
}

const unlessGone = async <A>(work: Promise<A>): Promise<A | undefined> => {
  try {
    return await work
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Calls the system with the number of the file: nothing stands between it and the writer of the journal. */
class RealFile implements DiskFile {
  readonly path: string
  private readonly fd: number
  /** Calls that are under way: the number must not be given to another file before they have ended. */
  private running = 0
  private closing: { readonly ended: Promise<void>; readonly end: () => void } | undefined

  constructor(path: string, fd: number) {
    this.path = path
    this.fd = fd
  }

  read(into: Uint8Array, at: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.begin("read", reject))
        read(this.fd, into, at, length, position, (error, bytes) => {
          this.done()
          if (error === null) resolve(bytes)
          else reject(diskFault("read", this.path, error))
        })
    })
  }

  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.begin("write", reject))
        write(this.fd, bytes, at, length, position, (error, written) => {
          this.done()
          if (error === null) resolve(written)
          else reject(diskFault("write", this.path, error))
        })
    })
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.begin("sync", reject))
        fdatasync(this.fd, (error) => {
          this.done()
          if (error === null) resolve()
          else reject(diskFault("sync", this.path, error))
        })
    })
  }

  stat(): Promise<FileStat> {
    return new Promise((resolve, reject) => {
      if (this.begin("look at", reject))
        fstat(this.fd, (error, found) => {
          this.done()
          if (error === null) resolve(found)
          else reject(diskFault("look at", this.path, error))
        })
    })
  }

  close(): Promise<void> {
    if (this.closing === undefined) {
      const { promise, reject, resolve } = Promise.withResolvers<void>()
      const end = () =>
        close(this.fd, (error) =>
          error === null || error === undefined ? resolve() : reject(diskFault("close", this.path, error))
        )
      this.closing = { ended: promise, end }
      if (this.running === 0) end()
    }
    return this.closing.ended
  }

  private begin(operation: DiskOperation, reject: (fault: DiskFault) => void): boolean {
    if (this.closing === undefined) {
      this.running++
      return true
    }
    reject(diskFault(operation, this.path, { code: "EBADF" }))
    return false
  }

  private done(): void {
    if (--this.running === 0) this.closing?.end()
  }
}

const openFile = (operation: DiskOperation, path: string, how: number): Promise<DiskFile> =>
  new Promise((resolve, reject) =>
    open(path, how, fileMode, (error, fd) => {
      if (error === null) resolve(new RealFile(path, fd))
      else reject(diskFault(operation, path, error))
    })
  )

/**
 * Has the file system ask what this name stands for, if it remembers more than NFS does: some FUSE file systems believe
 * in names and sizes even when a file is opened. A name that is to be made must not exist, so the server is asked; and it
 * is never made, because no directory may have a second name. The answer is an error in any case.
 */
const ask = (path: string): Promise<void> => link(dirname(path), path).catch(() => {})

/** The file systems of this machine. */
export class RealDisk implements Disk {
  mayBeLate = false

  async prepare(directories: ReadonlyArray<string>): Promise<void> {
    const local = await Promise.all(directories.map(isLocal))
    this.mayBeLate = local.includes(false)
  }

  async open(path: string): Promise<DiskFile | undefined> {
    if (this.mayBeLate && isLinux) await ask(path)
    return unlessGone(openFile("open", path, constants.O_RDONLY))
  }

  openToWrite(path: string, how: OpenForWriting): Promise<DiskFile> {
    return openFile(how === "existing" ? "open" : "create", path, flags[how])
  }

  create(path: string): DiskFile {
    try {
      return new RealFile(path, openSync(path, flags.new, fileMode))
    } catch (error) {
      throw diskFault("create", path, error)
    }
  }

  stat(path: string): Promise<FileStat | undefined> {
    return unlessGone(attempt("look at", path, stat(path)))
  }

  async list(path: string): Promise<ReadonlyArray<string>> {
    return (await unlessGone(attempt("list", path, readdir(path)))) ?? []
  }

  async makeDirectory(path: string): Promise<void> {
    try {
      await mkdir(path, directoryMode)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw diskFault("make", path, error)
    }
  }

  async syncDirectory(path: string): Promise<void> {
    const directory = await openFile("sync the names in", path, constants.O_RDONLY)
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  }

  rename(from: string, to: string): Promise<void> {
    return attempt("rename", from, rename(from, to))
  }

  remove(path: string): Promise<void> {
    return unlessGone(attempt("remove", path, unlink(path)))
  }

  removeTree(path: string): Promise<void> {
    return attempt("remove", path, rm(path, { recursive: true, force: true }))
  }

  checkAccess(path: string): Promise<void> {
    return attempt("enter", path, access(path, constants.R_OK | constants.W_OK | constants.X_OK))
  }
}

/** Of the nearest directory above that exists, where this one does not. */
const isLocal = async (directory: string): Promise<boolean> => {
  if (!isLinux) return false
  for (let path = directory; ; path = dirname(path)) {
    try {
      return localTypes.has((await statfs(path)).type)
    } catch (error) {
      const fault = diskFault("look at", path, error)
      if (fault.code !== "ENOENT" || path === dirname(path)) throw fault
    }
  }
}
