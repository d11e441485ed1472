import type { Stats } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { crc32 } from "node:zlib"

/** A file of a shape does not hold what was written: a damaged disk, or somebody changed it. */
export class DamagedFile extends Error {
  readonly path: string
  constructor(path: string, what: string) {
    super(`${path} is damaged: ${what}`)
    this.name = "DamagedFile"
    this.path = path
  }
}

/** What a file must hold: its length and the CRC-32 of that many bytes. */
export interface FileSum {
  readonly bytes: number
  readonly crc: number
}

/** Read at a time. */
const readBytes = 256 * 1024
/** Files remembered as sound; forgetting one costs a second look. */
const rememberedFiles = 100_000

/** What tells a file that has been looked at from one that somebody put there or wrote to since. */
export type FileStamp = Pick<Stats, "dev" | "ino" | "size" | "mtimeMs">

const stampOf = ({ bytes, crc }: FileSum, { dev, ino, size, mtimeMs }: FileStamp): string =>
  `${bytes} ${crc} ${dev} ${ino} ${size} ${mtimeMs}`

/**
 * What is known of files. A file from the middle of which something is served is read as a whole before, once in this
 * process, and again when it has grown; one that is served as a whole is looked at while it is.
 */
export class FileIntegrity {
  private readonly sound = new Map<string, Promise<void>>()
  private readonly stamps = new Map<string, string>()

  /** Whether all of this file was read before, and was what it must be. */
  isSound(path: string, sum: FileSum, stamp: FileStamp): boolean {
    return this.stamps.get(path) === stampOf(sum, stamp)
  }

  /** Takes note that the whole file was read and has this checksum. Throws `DamagedFile` if it is not the right one. */
  found(path: string, sum: FileSum, stamp: FileStamp, crc: number): void {
    if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong")
    if (this.stamps.size >= rememberedFiles) this.stamps.clear()
    this.stamps.set(path, stampOf(sum, stamp))
  }

  /** Fails with `DamagedFile`, for ever, when the first `bytes` bytes of the file are not the ones that were written. */
  check(path: string, sum: FileSum): Promise<void> {
    const key = `${path} ${sum.bytes} ${sum.crc}`
    const known = this.sound.get(key)
    if (known !== undefined) return known
    const looking = checkFile(path, sum)
    if (this.sound.size >= rememberedFiles) this.sound.clear()
    this.sound.set(key, looking)
    looking.catch((error: unknown) => {
      if (!(error instanceof DamagedFile)) this.sound.delete(key)
    })
    return looking
  }
}

/** Opens a file that must be there. */
export const openFile = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path, "r")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new DamagedFile(path, "it is missing")
    throw error
  }
}

const checkFile = async (path: string, sum: FileSum): Promise<void> => {
  const file = await openFile(path)
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, sum.bytes)))
    let crc = 0
    for (let at = 0; at < sum.bytes;) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, sum.bytes - at), at)
      if (bytesRead === 0) throw new DamagedFile(path, `it ends after ${at} of ${sum.bytes} bytes`)
      crc = crc32(buffer.subarray(0, bytesRead), crc)
      at += bytesRead
    }
    if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong")
  } finally {
    await file.close()
  }
}
