import { crc32 } from "node:zlib"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import type { Disk, DiskFile, FileStat } from "./Disk.ts"
import type { FileOrigin } from "./FileOrigin.ts"

/** A file of a shape does not hold what was written: a damaged disk, or somebody changed it. */
export class DamagedFile extends Error {
  readonly path: string
  /** What is wrong is that bytes are missing: they may only be seen late, where that can be. */
  readonly isShort: boolean
  /** There is no file of that name. */
  readonly isMissing: boolean
  /** Where the file is a copy: its origin does not have it as it must be either. */
  readonly isAtOrigin: boolean
  /** Which file it was, where it may be replaced by a better one. */
  readonly ino: number | undefined
  constructor(path: string, what: string, about: DamageDetails = {}) {
    super(`${path} is damaged: ${what}`)
    this.name = "DamagedFile"
    this.path = path
    this.isShort = about.isShort ?? false
    this.isMissing = about.isMissing ?? false
    this.isAtOrigin = about.isAtOrigin ?? false
    this.ino = about.ino
  }
}

interface DamageDetails {
  readonly isShort?: boolean
  readonly isMissing?: boolean
  readonly isAtOrigin?: boolean
  readonly ino?: number
}

/** What a file must hold: its length and the CRC-32 of that many bytes. */
export interface FileSum {
  readonly bytes: number
  readonly crc: number
}

/** A copy that is not there when it has just been fetched was removed to make room: there is too little for it. */
const mostFetches = 3

/** Read at a time. */
const readBytes = 256 * 1024
/** Files remembered as sound; forgetting one costs a second look. */
const rememberedFiles = 100_000

/** What tells a file that has been looked at from one that somebody put there or wrote to since. */
type FileStamp = Pick<FileStat, "dev" | "ino" | "size" | "mtimeMs">

const stampOf = ({ bytes, crc }: FileSum, { dev, ino, size, mtimeMs }: FileStamp): string =>
  `${bytes} ${crc} ${dev} ${ino} ${size} ${mtimeMs}`

/** A text that is put together of others keeps all of them, for as long as it is kept itself. */
const inOnePiece = (text: string): string => Buffer.from(text, "latin1").toString("latin1")

/** A look at so much of a file, which it has passed or is passing. */
interface Look extends FileSum {
  readonly passed: Promise<void>
}

const hasPassed = Promise.resolve()

/**
 * What is known of files. A file from the middle of which something is served is read as a whole before, once in this
 * process, and again when it has grown; one that is served as a whole is looked at while it is.
 */
export class FileIntegrity {
  private readonly looks = new BoundedMap<string, Look>(rememberedFiles)
  private readonly stamps = new BoundedMap<string, string>(rememberedFiles)
  private readonly disk: Pick<Disk, "mayBeLate" | "open">
  /** Absent where what is on the disk is all there is. */
  readonly origin: FileOrigin | undefined

  constructor(disk: Pick<Disk, "mayBeLate" | "open">, origin?: FileOrigin) {
    this.disk = disk
    this.origin = origin
  }

  /** Opens a file that must be there, as it is now. A copy that is missing, or shorter than `bytes`, is fetched first. */
  async open(path: string, bytes: number): Promise<DiskFile> {
    const { origin } = this
    for (let fetched = 0; ; fetched++) {
      const file = await this.openCopy(path, bytes)
      if (file !== undefined) {
        origin?.used(path)
        return file
      }
      if (origin === undefined || fetched === mostFetches)
        throw new DamagedFile(path, "it is missing", { isShort: true, isMissing: true })
      await origin.fetch(path)
    }
  }

  /** `undefined` where there is none, or one that has to be fetched because it is short. */
  private async openCopy(path: string, bytes: number): Promise<DiskFile | undefined> {
    const file = await this.disk.open(path)
    if (file === undefined || this.origin === undefined) return file
    let isLongEnough = false
    try {
      isLongEnough = (await file.stat()).size >= bytes
    } finally {
      if (!isLongEnough) await file.close()
    }
    return isLongEnough ? file : undefined
  }

  /** Where files are copies: the file is there when this completes, so that who asks need not begin an answer without it. */
  async present(path: string, bytes: number): Promise<void> {
    if (this.origin !== undefined) await (await this.open(path, bytes)).close()
  }

  /** Whether all of this file was read before, and was what it must be. */
  isSound(path: string, sum: FileSum, stamp: FileStamp): boolean {
    return this.stamps.get(path) === stampOf(sum, stamp)
  }

  /** Takes note that the whole file was read and has this checksum. Throws `DamagedFile` if it is not the right one. */
  found(path: string, sum: FileSum, stamp: FileStamp, crc: number): void {
    if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong", { ino: stamp.ino })
    this.stamps.set(path, inOnePiece(stampOf(sum, stamp)))
  }

  /** Fails with `DamagedFile`, for ever, when the first `bytes` bytes of the file are not the ones that were written. */
  check(path: string, sum: FileSum): Promise<void> {
    const { bytes, crc } = sum
    const known = this.looks.get(path)
    if (known?.bytes === bytes && known.crc === crc) return known.passed
    const looking: Look = { bytes, crc, passed: this.lookOrFetch(path, sum) }
    this.looks.set(path, looking)
    looking.passed.then(
      () => {
        if (this.looks.get(path) === looking) this.looks.set(path, { bytes, crc, passed: hasPassed })
      },
      (error: unknown) => {
        const mayHeal = this.disk.mayBeLate || this.origin !== undefined
        if (!(error instanceof DamagedFile) || (error.isShort && mayHeal))
          if (this.looks.get(path) === looking) this.looks.delete(path)
      }
    )
    return looking.passed
  }

  private async lookOrFetch(path: string, sum: FileSum): Promise<void> {
    const { origin } = this
    try {
      return await this.look(path, sum)
    } catch (error) {
      if (origin === undefined || !(error instanceof DamagedFile) || error.isAtOrigin) throw error
    }
    await origin.fetch(path)
    await this.look(path, sum)
  }

  private async look(path: string, sum: FileSum): Promise<void> {
    const file = await this.open(path, sum.bytes)
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, sum.bytes)))
      let crc = 0
      for (let at = 0; at < sum.bytes;) {
        const bytesRead = await file.read(buffer, 0, Math.min(buffer.length, sum.bytes - at), at)
        if (bytesRead === 0)
          throw new DamagedFile(path, `it ends after ${at} of ${sum.bytes} bytes`, { isShort: true })
        crc = crc32(buffer.subarray(0, bytesRead), crc)
        at += bytesRead
      }
      if (crc !== sum.crc) throw new DamagedFile(path, "its checksum is wrong")
    } finally {
      await file.close()
    }
  }
}
