import { randomBytes } from "node:crypto"
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs"
import * as path from "node:path"

/** Some memory that several write to, one after the other, until it is full. */
export interface Page {
  readonly length: number
  /** Undefined where it stands in the file, at `at`. */
  bytes: Buffer | undefined
  at: number
  /** Of four bytes: those that are filled. */
  used: number
  /** Those who have something in it. */
  users: number
}

/** Most pages have this size. Places in the file are given out in multiples of it. */
const pageBytes = 256 * 1024

/** Pages that nobody has anything in, and that are kept for what comes next. */
const mostSpare = 8

/**
 * Keeps pages: in memory as long as all together are within a limit, and what is filled beyond that in a file that has no name and
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
  private open: Page | undefined
  private readonly spare: Array<Buffer> = []
  /** What was read from the file last. */
  private latest: { readonly page: Page; readonly bytes: Buffer } | undefined

  /** `directories`: for the file; the first that takes one. */
  constructor(mostMemoryBytes: number, directories: ReadonlyArray<string>) {
    this.mostMemoryBytes = mostMemoryBytes
    this.directories = directories
  }

  /** The page that is being filled, in memory, with room for so many numbers of four bytes. Who fills some of it becomes a user of it. */
  pageFor(words: number): Page {
    const { open } = this
    if (open !== undefined && 4 * (open.used + words) <= open.length) return open
    if (open !== undefined) {
      this.open = undefined
      if (open.users > 0) this.settle(open)
      else this.forget(open)
    }
    const bytes = Math.max(4 * words, pageBytes)
    const buffer = (bytes === pageBytes ? this.spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(bytes)
    this.memoryBytes += bytes
    this.open = { length: bytes, bytes: buffer, at: -1, used: 0, users: 0 }
    return this.open
  }

  /** It is full. */
  private settle(page: Page): void {
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
    // Somebody may be about to read on in these bytes: they are not used again.
    page.bytes = undefined
    this.memoryBytes -= page.length
    this.fileBytes += page.length
  }

  private keep(bytes: Buffer): void {
    if (bytes.length === pageBytes && this.spare.length < mostSpare) this.spare.push(bytes)
  }

  /** What it was filled with; valid until its last user releases it. */
  read(page: Page): Buffer {
    if (page.bytes !== undefined) return page.bytes
    if (this.latest?.page === page) return this.latest.bytes
    if (this.file === undefined) throw new Error("a page that stands nowhere")
    const { at, length } = page
    const bytes = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length;) {
      const more = readSync(this.file, bytes, done, length - done, at + done)
      if (more === 0) throw new Error("a temporary file became shorter")
      done += more
    }
    this.latest = { page, bytes }
    return bytes
  }

  /** One of its users does not ask for it any more. */
  release(page: Page): void {
    if (--page.users > 0) return
    if (page === this.open) page.used = 0
    else this.forget(page)
  }

  private forget(page: Page): void {
    if (page.bytes !== undefined) {
      this.memoryBytes -= page.length
      this.keep(page.bytes)
      page.bytes = undefined
      return
    }
    if (this.latest?.page === page) this.latest = undefined
    this.fileBytes -= page.length
    for (let at = page.at; at < page.at + page.length; at += pageBytes) {
      this.free.push(at)
      this.used--
    }
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
    const places = Math.ceil(length / pageBytes)
    this.used += places
    const free = places === 1 ? this.free.pop() : undefined
    if (free !== undefined) return free
    const at = this.end
    this.end += places * pageBytes
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
