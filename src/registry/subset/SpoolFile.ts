import { randomBytes } from "node:crypto"
import { type FileHandle, open, unlink } from "node:fs/promises"
import * as path from "node:path"

/** A file that nobody else can open: it has no name, and is gone with the process, however that ends. */
export interface SpoolFile {
  /** What has been appended so far. */
  readonly byteLength: number
  /** All of `bytes`, one call at a time. */
  readonly append: (bytes: Buffer) => Promise<void>
  /** Fills `buffer` from a position, as far as the file goes; how much that was. */
  readonly read: (buffer: Buffer, from: number) => Promise<number>
  /**
   * After calls that are under way. Twice does no harm. Never rejects: nobody can read the file any more, so what the disk says of
   * it is nobody's concern.
   */
  readonly close: () => Promise<void>
}

/** Opens a file in the first of the directories that takes one; fails with the error of the first if none does. */
export const openSpoolFile = async (directories: ReadonlyArray<string>): Promise<SpoolFile> => {
  let firstError: unknown
  for (const directory of directories) {
    const name = path.join(directory, `baton-${process.pid}-${randomBytes(8).toString("hex")}.tmp`)
    try {
      const handle = await open(name, "wx+", 0o600)
      await unlink(name).catch(async (error: unknown) => {
        await handle.close()
        throw error
      })
      return spoolFile(handle)
    } catch (error) {
      firstError ??= error
    }
  }
  throw firstError
}

const spoolFile = (handle: FileHandle): SpoolFile => {
  let byteLength = 0
  return {
    get byteLength() {
      return byteLength
    },
    append: async (bytes) => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, byteLength)
        at += bytesWritten
        byteLength += bytesWritten
      }
    },
    read: async (buffer, from) => {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, byteLength - from), from)
      if (bytesRead === 0) throw new Error("a temporary file became shorter")
      return bytesRead
    },
    close: () => handle.close().catch(() => {})
  }
}
