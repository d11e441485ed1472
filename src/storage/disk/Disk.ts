/** What is known of a file without reading it. */
export interface FileStat {
  readonly dev: number
  readonly ino: number
  readonly size: number
  readonly mtimeMs: number
  /** Names that the file has: without one nobody will ever read what is written to it. */
  readonly nlink: number
  isDirectory(): boolean
}

/** An open file. Each call fails with a `DiskFault`, after `close` as well, which waits for those that are under way. */
export interface DiskFile {
  readonly path: string
  /** Reads up to `length` bytes at `position` into `into`, from its byte `at` on. Gives how many; 0 at the end of the file. */
  read(into: Uint8Array, at: number, length: number, position: number): Promise<number>
  /** Writes up to `length` bytes of `bytes`, from its byte `at` on, at `position`. Gives how many. */
  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<number>
  /** What has been written is durable, whichever process wrote it; that the file has its name is not (fdatasync(2)). */
  sync(): Promise<void>
  stat(): Promise<FileStat>
  close(): Promise<void>
}

/**
 * How a file is opened for writing: it must be there; it is made if it is not there; the same, and what it held is cut off;
 * it must not be there. Its content is never cut off but with "empty".
 */
export type OpenForWriting = "existing" | "any" | "empty" | "new"

/**
 * All that storage asks of a disk: files and directories by their paths, what is durable and what is not, and the view of
 * it that a network file system gives. It remembers sizes and names for some time (NFS for 3 to 60 s), and what it
 * remembers may be out of date; what is opened anew is asked of the server, which is all that NFS promises (nfs(5),
 * "Close-to-open cache consistency"). A name (that of a new file, a new place, or none any more) is durable once its
 * directory has been synced. Every call fails with a `DiskFault`.
 */
export interface Disk {
  /**
   * Whether what was seen before may be older than what is there, so that a reader that finds nothing new has to open the file
   * anew to be sure. False on a local disk, where that would only cost time.
   */
  readonly mayBeLate: boolean
  /** Finds out which kind of file system these directories are on, or will be on. Fails when it cannot be reached. */
  prepare(directories: ReadonlyArray<string>): Promise<void>
  /** Opens a file for reading, as it is now; `undefined` when it is not there. */
  open(path: string): Promise<DiskFile | undefined>
  /** Opens a file for writing and reading. One that is made is for this user only. */
  openToWrite(path: string, how: OpenForWriting): Promise<DiskFile>
  /** `openToWrite(path, "new")`, done when it returns: the journal begins a segment between two records. */
  create(path: string): DiskFile
  /** `undefined` when there is nothing. */
  stat(path: string): Promise<FileStat | undefined>
  /** Names in a directory, as it is now; none when it does not exist. */
  list(path: string): Promise<ReadonlyArray<string>>
  /** Makes one directory, for this user only. One that is there is left alone. */
  makeDirectory(path: string): Promise<void>
  /** Makes the names in a directory durable: those of files that were created, renamed or removed. */
  syncDirectory(path: string): Promise<void>
  /** The file takes this place at once, of another one, too. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file, if it is there. */
  remove(path: string): Promise<void>
  /** Removes a directory with all that is in it, or a file, if it is there. */
  removeTree(path: string): Promise<void>
  /** Whether this user may read, write and enter what is there, without trying. */
  checkAccess(path: string): Promise<void>
}

/** For so long a file system may go on showing what it remembers: `acdirmax` and `acregmax` of NFS, and some more. */
export const longestLateMillis = 65_000
