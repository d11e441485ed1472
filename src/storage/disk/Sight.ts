import { type FileHandle, link, open, readdir, statfs } from "node:fs/promises"
import { dirname } from "node:path"

/**
 * How storage looks at files and directories that another machine may be writing to. A network file system remembers
 * sizes and names for some time (NFS for 3 to 60 s), and what it remembers may be out of date; what is opened anew is
 * asked of the server, which is all that NFS promises (nfs(5), "Close-to-open cache consistency").
 */
export interface Sight {
  /**
   * Whether what was seen before may be older than what is there, so that whoever finds nothing new has to open the file
   * anew to be sure. False on a local disk, where that would cost time in vain.
   */
  readonly mayBeLate: boolean
  /** Finds out which kind of file system these directories are on, or will be on. Fails when it cannot be reached. */
  readonly prepare: (directories: ReadonlyArray<string>) => Promise<void>
  /** Opens a file for reading, as it is now; `undefined` when it is not there. */
  readonly open: (path: string) => Promise<FileHandle | undefined>
  /** Names in a directory, as it is now; none when it does not exist. */
  readonly list: (path: string) => Promise<ReadonlyArray<string>>
}

/** For so long a file system may go on showing what it remembers: `acdirmax` and `acregmax` of NFS, and some more. */
export const longestLateMillis = 65_000

/**
 * File systems of Linux that belong to one machine (statfs(2)): whoever reads sees what was written. Any other one may be
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

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** The file is not there any more: ESTALE is what NFS says of one that another machine has removed. */
export const isGone = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === "ENOENT" || code === "ESTALE"
}

/** Names in a directory; empty when it does not exist. */
export const listDirectory = async (path: string): Promise<ReadonlyArray<string>> => {
  try {
    return await readdir(path)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/**
 * Has the file system ask what this name stands for, if it remembers more than NFS does: some FUSE file systems believe
 * in names and sizes even when a file is opened. A name that is to be made must not exist, so the server is asked; and it
 * is never made, because no directory may have a second name. The answer is an error in any case.
 */
const ask = (path: string): Promise<void> => link(dirname(path), path).catch(() => {})

/** The machine's own view of its file systems. */
export class FileSight implements Sight {
  mayBeLate = false

  async prepare(directories: ReadonlyArray<string>): Promise<void> {
    const local = await Promise.all(directories.map(isLocal))
    this.mayBeLate = local.includes(false)
  }

  async open(path: string): Promise<FileHandle | undefined> {
    if (this.mayBeLate && isLinux) await ask(path)
    try {
      return await open(path, "r")
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  list(path: string): Promise<ReadonlyArray<string>> {
    return listDirectory(path)
  }
}

/** Of the nearest directory above that exists, where this one does not. */
const isLocal = async (directory: string): Promise<boolean> => {
  if (!isLinux) return false
  for (let path = directory; ; path = dirname(path)) {
    try {
      return localTypes.has((await statfs(path)).type)
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || path === dirname(path)) throw error
    }
  }
}
