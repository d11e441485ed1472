import { crc32 } from "node:zlib"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import type { Disk, DiskFile, FileStat } from "./Disk.ts"

/** A file of a shape does not hold what was written: a damaged disk, or somebody changed it. */
export class DamagedFile extends Error {
  readonly path: string
  /** What is wrong is that bytes are missing: they may only be seen late, where that can be. */
  readonly isShort: boolean
  constructor(path: string, what: string, isShort = false) {
    super(`${path} is damaged: ${what}`)
    this.name = "DamagedFile"
    this.path = path
    this.isShort = isShort
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
type FileStamp = Pick<FileStat, "dev" | "ino" | "size" | "mtimeMs">

const stampOf = ({ bytes, crc }: FileSum, { dev, ino, size, mtimeMs }: FileStamp): string =>
  `${bytes} ${crc} ${dev} ${ino} ${size} ${mtimeMs}`

/**
 * What is known of files. A file from the middle of which something is served is read as a whole before, once in this
 * process, and again when it has grown; one that is served as a whole is looked at while it is.
 */
export class FileIntegrity {
  private readonly sound = new BoundedMap<string, Promise<void>>(rememberedFiles)
  private readonly stamps = new BoundedMap<string, string>(rememberedFiles)
  private readonly disk: Pick<Disk, "mayBeLate" | "open">

  constructor(disk: Pick<Disk, "mayBeLate" | "open">) {
    this.disk = disk
  }

  /** Opens a file that must be there, as it is now. */
  async open(path: string): Promise<DiskFile> {
    const file = await this.disk.open(path)
    if (file === undefined) throw new DamagedFile(path, "it is missing", true)
    return file
  }

  /** Whether all of this file was read before, and was what it must be. */
  isSound(path: string, sum: FileSum, stamp: FileStamp): boolean {
    return this.stamps.get(path) === stampOf(sum, stamp)
  }

  /** Takes note that the whole file was read and has this checksum. Throws `DamagedFile` if it is not the right one. */
  found(path: string, sum: FileSum, stamp: FileStamp, crc: number): void {
    if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong")
    this.stamps.set(path, stampOf(sum, stamp))
  }

  /** Fails with `DamagedFile`, for ever, when the first `bytes` bytes of the file are not the ones that were written. */
  check(path: string, sum: FileSum): Promise<void> {
    const key = `${path} ${sum.bytes} ${sum.crc}`
    const known = this.sound.get(key)
    if (known !== undefined) return known
    const looking = this.look(path, sum)
    this.sound.set(key, looking)
    looking.catch((error: unknown) => {
      if (!(error instanceof DamagedFile) || (error.isShort && this.disk.mayBeLate)) this.sound.delete(key)
    })
    return looking
  }

  private async look(path: string, sum: FileSum): Promise<void> {
    const file = await this.open(path)
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, sum.bytes)))
      let crc = 0
      for (let at = 0; at < sum.bytes;) {
        const bytesRead = await file.read(buffer, 0, Math.min(buffer.length, sum.bytes - at), at)
        if (bytesRead === 0) throw new DamagedFile(path, `it ends after ${at} of ${sum.bytes} bytes`, true)
        crc = crc32(buffer.subarray(0, bytesRead), crc)
        at += bytesRead
      }
      if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong")
    } finally {
      await file.close()
    }
  }
}
