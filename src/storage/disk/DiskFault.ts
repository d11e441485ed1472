import { Data, Effect } from "effect"
import { BucketFault } from "../../bucket/BucketFault.ts"

/** What was asked of the disk. */
export type DiskOperation =
  | "open"
  | "create"
  | "read"
  | "write"
  | "sync"
  | "look at"
  | "close"
  | "list"
  | "make"
  | "sync the names in"
  | "rename"
  | "remove"
  | "enter"

/** By the system's code for an error: what it means and asks for, and whether it can pass without anybody's doing. */
const meanings: Readonly<Record<string, { readonly text: string; readonly passing: boolean }>> = {
  ENOSPC: { text: "the disk is full; it goes on once there is room", passing: true },
  EDQUOT: {
    text: "the quota is used up; it goes on once there is room, or the quota is raised",
    passing: true
  },
  EIO: {
    text: "the disk reports an error; look into the system's log, and replace the disk if this comes again",
    passing: true
  },
  EMFILE: {
    text: "this process has too many files open; raise its limit (ulimit -n) if this comes again",
    passing: true
  },
  ENFILE: {
    text: "the system has too many files open; raise its limit (fs.file-max) if this comes again",
    passing: true
  },
  ENOMEM: { text: "the system has no memory left; give it more if this comes again", passing: true },
  EAGAIN: { text: "the system is busy", passing: true },
  EBUSY: { text: "the file is in use elsewhere", passing: true },
  EINTR: { text: "the call was interrupted", passing: true },
  ETIMEDOUT: { text: "the file server does not answer; it goes on once it does", passing: true },
  ESTALE: {
    text: "the file server does not know it any more; mount it again if this comes again",
    passing: true
  },
  EROFS: { text: "its file system is mounted read-only; mount it for writing", passing: false },
  EACCES: { text: "this user may not; chown it to the user that runs the service", passing: false },
  EPERM: { text: "this user may not; chown it to the user that runs the service", passing: false },
  ENOENT: { text: "it is not there", passing: false },
  EEXIST: { text: "it is there already", passing: false },
  ENOTDIR: { text: "something in this path is no directory", passing: false },
  EISDIR: { text: "it is a directory", passing: false },
  EBADF: { text: "it is closed", passing: false }
}

/**
 * A disk has refused something. `code` is the system's (errno(3)), the `path` that of the file or directory that was asked
 * for. With `passing` the same may succeed later without anybody's doing.
 */
export class DiskFault extends Data.TaggedError("DiskFault")<{
  readonly operation: DiskOperation
  readonly path: string
  readonly code: string
  readonly passing: boolean
  readonly cause: unknown
}> {
  override get message(): string {
    const meaning = meanings[this.code]?.text
    return `cannot ${this.operation} ${this.path}: ${this.code}${meaning === undefined ? "" : ` (${meaning})`}`
  }

  override toString(): string {
    return this.message
  }
}

export const diskFault = (operation: DiskOperation, path: string, cause: unknown): DiskFault => {
  const { code } = cause as { readonly code?: unknown }
  const known = typeof code === "string" ? code : String(cause)
  return new DiskFault({ operation, path, code: known, passing: meanings[known]?.passing ?? false, cause })
}

/** The file is not there any more: ESTALE is what NFS says of one that another machine has removed. */
export const isGone = (error: unknown): boolean =>
  error instanceof DiskFault && (error.code === "ENOENT" || error.code === "ESTALE")

/** What storage fails with: its disk, or the bucket that its disk is a copy of. */
export type StorageFault = DiskFault | BucketFault

/**
 * Work with storage as an effect. It is not interrupted in the middle, because no system call is. What fails it is a disk or a
 * bucket; any other error is a defect.
 */
export const fromDisk = <A>(work: () => Promise<A>): Effect.Effect<A, StorageFault> =>
  Effect.tryPromise({ try: work, catch: (cause) => cause }).pipe(
    Effect.catch((cause) =>
      cause instanceof DiskFault || cause instanceof BucketFault ? Effect.fail(cause) : Effect.die(cause)
    )
  )
