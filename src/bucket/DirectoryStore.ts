import { randomUUID } from "node:crypto"
import { type FileHandle, link, mkdir, open, readdir, rm, stat, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { BucketFault, type BucketOperation } from "./BucketFault.ts"
import { codeOf, directoryFault } from "./DirectoryFault.ts"
import { compareKeys, keyPartOf, pathOfKey } from "./KeyPath.ts"
import type { ByteRange, ObjectInfo, ObjectStore } from "./ObjectStore.ts"

/** Holds what is being written. */
const unfinished = ".unfinished"

/** What a writer that was killed has left is removed after a day: no writing takes so long. */
const leftAfterMillis = 86_400_000

const isAbsent = (error: unknown): boolean => codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR"

/** Two paths that stand for an object and for what others stand below. */
const isInTheWay = (error: unknown): boolean => codeOf(error) === "ENOTDIR" || codeOf(error) === "EEXIST"

const syncDirectory = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

interface Entry {
  /** From the beginning of the key on; of a directory with a slash at its end. */
  readonly key: string
  readonly path: string
}

/**
 * A directory in place of a bucket: a file for each object, which is written under another name, synced, and then linked to its own:
 * link(2) succeeds once, also for two machines on one file server, and nobody sees half an object. No key may be what another one
 * is below (`a` and `a/b`). The directory is made at the first create.
 */
export class DirectoryStore implements ObjectStore {
  readonly name: string
  private readonly root: string
  /** Directories that are known to be there, and their names to be durable. */
  private readonly made = new Set<string>()
  private swept: Promise<void> | undefined

  constructor(directory: string, folder: string) {
    this.root = join(directory, pathOfKey(folder))
    this.name = `file://${this.root}`
  }

  create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    return this.guarded("create", key, async () => {
      const path = this.pathOf(key)
      const draft = join(this.root, unfinished, randomUUID())
      await this.makeDirectory(dirname(draft))
      await this.makeDirectory(dirname(path))
      const handle = await open(draft, "wx")
      try {
        await writeAll(handle, content)
        await (this.swept ??= this.sweep(handle))
        // A loser's answer says that the object is there to stay, too.
        const outcome = await linkOnce(draft, path)
        await syncDirectory(dirname(path))
        return outcome
      } finally {
        await handle.close()
        await rm(draft, { force: true })
      }
    })
  }

  get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    return this.guarded("read", key, async () => {
      try {
        const handle = await open(this.pathOf(key), "r")
        try {
          return range === undefined ? await handle.readFile() : await readRange(handle, range)
        } finally {
          await handle.close()
        }
      } catch (error) {
        if (isAbsent(error)) return undefined
        throw error
      }
    })
  }

  async *list(prefix: string, after?: string): AsyncGenerator<ObjectInfo, void> {
    try {
      yield* this.walk({ key: "", path: this.root }, prefix, after)
    } catch (error) {
      throw directoryFault("list", `${this.name}/${prefix}`, error)
    }
  }

  async remove(keys: ReadonlyArray<string>): Promise<void> {
    for (const key of keys)
      await this.guarded("remove", key, async () => {
        try {
          await unlink(this.pathOf(key))
        } catch (error) {
          if (!isAbsent(error)) throw error
        }
      })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  private pathOf(key: string): string {
    return join(this.root, pathOfKey(key))
  }

  private async guarded<A>(operation: BucketOperation, key: string, work: () => Promise<A>): Promise<A> {
    try {
      return await work()
    } catch (error) {
      throw directoryFault(operation, `${this.name}/${key}`, error)
    }
  }

  /** With all above it; their names are synced up to the root, or to where the first of them was made. */
  private async makeDirectory(path: string): Promise<void> {
    if (this.made.has(path)) return
    try {
      const first = await mkdir(path, { recursive: true })
      const top = first === undefined ? this.root : dirname(first)
      for (let above = dirname(path); above.length >= top.length; above = dirname(above)) {
        await syncDirectory(above)
      }
    } catch (error) {
      if (!isInTheWay(error)) throw error
      const said = "another key, or a file of something else, is what this one is below"
      throw new BucketFault({
        operation: "create",
        object: `file://${path}`,
        kind: "refused",
        said,
        cause: error
      })
    }
    this.made.add(path)
  }

  /** Removes what writers that were killed have left. Ages are differences to the file that is just written, by the same clock. */
  private async sweep(own: FileHandle): Promise<void> {
    const directory = join(this.root, unfinished)
    const { mtimeMs: nowMillis } = await own.stat()
    for (const name of await readdir(directory)) {
      const path = join(directory, name)
      try {
        if (nowMillis - (await stat(path)).mtimeMs > leftAfterMillis) await unlink(path)
      } catch (error) {
        if (!isAbsent(error)) throw error
      }
    }
  }

  private async *walk(
    folder: Entry,
    prefix: string,
    after: string | undefined
  ): AsyncGenerator<ObjectInfo, void> {
    for (const { key, path } of await entriesOf(folder)) {
      if (key.endsWith("/")) {
        const mayHold = key.startsWith(prefix) || prefix.startsWith(key)
        const isPast = after !== undefined && !after.startsWith(key) && compareKeys(key, after) < 0
        if (mayHold && !isPast) yield* this.walk({ key, path }, prefix, after)
      } else if (key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0)) {
        const info = await infoOf(key, path)
        if (info !== undefined) yield info
      }
    }
  }
}

/** What stands in a directory, in the order of keys: a directory comes where its keys do, after the slash. */
const entriesOf = async ({ key, path }: Entry): Promise<ReadonlyArray<Entry>> => {
  try {
    const found = await readdir(path, { withFileTypes: true })
    return found
      .flatMap((entry): ReadonlyArray<Entry> => {
        const part = keyPartOf(entry.name)
        if (part === undefined) return []
        return [{ key: key + part + (entry.isDirectory() ? "/" : ""), path: join(path, entry.name) }]
      })
      .toSorted((a, b) => compareKeys(a.key, b.key))
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

const infoOf = async (key: string, path: string): Promise<ObjectInfo | undefined> => {
  try {
    const { mtimeMs, size } = await stat(path)
    return { key, bytes: size, modifiedMillis: Math.floor(mtimeMs) }
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

const writeAll = async (handle: FileHandle, content: ReadonlyArray<Uint8Array>): Promise<void> => {
  for (const piece of content)
    for (let at = 0; at < piece.length;) at += (await handle.write(piece, at)).bytesWritten
  await handle.sync()
}

const linkOnce = async (draft: string, path: string): Promise<"created" | "exists"> => {
  try {
    await link(draft, path)
    return "created"
  } catch (error) {
    if (codeOf(error) === "EEXIST") return "exists"
    throw error
  }
}

/** As much of a range as the file has. */
const readRange = async (handle: FileHandle, { from, to }: ByteRange): Promise<Buffer> => {
  const buffer = Buffer.allocUnsafe(Math.max(0, to - from))
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, from + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}
