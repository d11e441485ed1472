import { randomBytes } from "node:crypto"
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs"
import * as path from "node:path"

/** Where the bytes of a page are: in memory, or in the file, from a place on. */
export interface Page {
  readonly length: number
  bytes: Buffer | undefined
  at: number
}

/** Places in the file are given out in multiples of this: the size of most pages. */
export const fullPageBytes = 256 * 1024

/**
 * Keeps pages: in memory as long as all together are within a limit, and what is settled beyond that in a file that has no name and
 * is gone with the process. Places in the file are used again. Reads and writes are of a page and through the cache of the system: they
 * are made at once, as nobody can go on without them.
 */
export class PageStore {
  memoryBytes = 0
  fileBytes = 0
  /** Why there is no room for more, since the disk has refused some. What is kept since then is in memory. */
  failure: string | undefined
  private readonly mostMemoryBytes: number
  private readonly directories: ReadonlyArray<string>
  private file: number | undefined
  private readonly free: Array<number> = []
  private used = 0
  private end = 0
  private spare: Buffer | undefined

  /** `directories`: for the file; the first that takes one. */
  constructor(mostMemoryBytes: number, directories: ReadonlyArray<string>) {
    this.mostMemoryBytes = mostMemoryBytes
    this.directories = directories
  }

  /** A page to be filled, in memory, of at least so many bytes. */
  take(bytes: number): Page & { bytes: Buffer } {
    const { spare } = this
    this.spare = undefined
    const buffer = spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(bytes)
    this.memoryBytes += buffer.length
    return { length: buffer.length, bytes: buffer, at: -1 }
  }

  /** It is full, and will be asked for later. */
  settle(page: Page): void {
    const { bytes } = page
    if (bytes === undefined || this.memoryBytes <= this.mostMemoryBytes || this.failure !== undefined) return
    try {
      const at = this.place(page.length)
      this.write(bytes, at)
      page.at = at
    } catch (error) {
      this.failure = String(error)
      return
    }
    page.bytes = undefined
    this.memoryBytes -= page.length
    this.fileBytes += page.length
  }

  /** What it was filled with; valid until it is released. */
  read({ at, bytes, length }: Page): Buffer {
    if (bytes !== undefined) return bytes
    if (this.file === undefined) throw new Error("a page that stands nowhere")
    const buffer = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length;) {
      const more = readSync(this.file, buffer, done, length - done, at + done)
      if (more === 0) throw new Error("a temporary file became shorter")
      done += more
    }
    return buffer
  }

  /** Nobody asks for it any more. */
  release(page: Page): void {
    if (page.bytes !== undefined) {
      this.memoryBytes -= page.length
      if (page.length <= fullPageBytes) this.spare = page.bytes
      page.bytes = undefined
      return
    }
    if (page.at < 0) return
    this.fileBytes -= page.length
    for (let at = page.at; at < page.at + page.length; at += fullPageBytes) {
      this.free.push(at)
      this.used--
    }
    page.at = -1
    if (this.used > 0) return
    this.free.length = 0
    this.end = 0
    if (this.file !== undefined) ftruncateSync(this.file, 0)
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file)
    this.file = undefined
    this.failure ??= "it is closed"
  }

  private place(length: number): number {
    const places = Math.ceil(length / fullPageBytes)
    this.used += places
    const free = places === 1 ? this.free.pop() : undefined
    if (free !== undefined) return free
    const at = this.end
    this.end += places * fullPageBytes
    return at
  }

  private write(bytes: Buffer, at: number): void {
    const file = (this.file ??= openUnnamed(this.directories))
    for (let done = 0; done < bytes.length;)
      done += writeSync(file, bytes, done, bytes.length - done, at + done)
  }
}

const openUnnamed = (directories: ReadonlyArray<string>): number => {
  let firstError: unknown
  for (const directory of directories) {
    const name = path.join(directory, `baton-${process.pid}-${randomBytes(8).toString("hex")}.tmp`)
    try {
      const file = openSync(name, "wx+", 0o600)
      unlinkSync(name)
      return file
    } catch (error) {
      firstError ??= error
    }
  }
  throw firstError
}
