import type { FileStat } from "../../src/storage/disk/Disk.ts"
import type { Random } from "../Random.ts"

/** What happened to a file and may be lost as long as the file is not synced. */
type FileChange =
  { readonly _tag: "Write"; readonly position: number; readonly bytes: Buffer } | { readonly _tag: "CutOff" }

/** Bytes that grow. */
class Bytes {
  buffer = Buffer.alloc(256)
  size = 0

  apply(change: FileChange, length = change._tag === "Write" ? change.bytes.length : 0): void {
    if (change._tag === "CutOff") {
      this.buffer.fill(0)
      this.size = 0
      return
    }
    const end = change.position + length
    if (end > this.buffer.length) {
      const larger = Buffer.alloc(Math.max(end, 2 * this.buffer.length))
      this.buffer.copy(larger, 0, 0, this.size)
      this.buffer = larger
    }
    change.bytes.copy(this.buffer, change.position, 0, length)
    this.size = Math.max(this.size, end)
  }

  become(other: Bytes): void {
    this.buffer = Buffer.from(other.buffer)
    this.size = other.size
  }
}

let numbers = 0

/** How much of what was not synced a power cut leaves: nothing, or what chance decides. */
export type Leftovers = "nothing" | Random

export class MemoryFile {
  readonly ino = ++numbers
  nlink = 0
  mtimeMs = 0
  private readonly now = new Bytes()
  private readonly durable = new Bytes()
  private changes: Array<FileChange> = []

  get size(): number {
    return this.now.size
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    const bytes = Math.max(0, Math.min(length, this.now.size - position))
    if (bytes > 0) this.now.buffer.copy(into, at, position, position + bytes)
    return bytes
  }

  write(bytes: Uint8Array, position: number): void {
    this.change({ _tag: "Write", position, bytes: Buffer.from(bytes) })
  }

  cutOff(): void {
    if (this.size > 0) this.change({ _tag: "CutOff" })
  }

  private change(change: FileChange): void {
    this.now.apply(change)
    this.changes.push(change)
  }

  content(view: "seen" | "durable"): Buffer {
    const { buffer, size } = view === "seen" ? this.now : this.durable
    return Buffer.from(buffer.subarray(0, size))
  }

  /** A sync makes durable what was there when it began: call what this returns when it ends. */
  beginSync(): () => void {
    const seen = this.changes.slice()
    return () => {
      const still = new Set(this.changes)
      for (const change of seen) if (still.has(change)) this.durable.apply(change)
      const done = new Set(seen)
      this.changes = this.changes.filter((change) => !done.has(change))
    }
  }

  /**
   * What Linux does when it cannot write back: what was written is taken for written from then on, and a later sync has nothing
   * to do with it. It can still be read, until the power goes. Only what is written once more is synced again.
   */
  failSync(): void {
    this.changes = this.changes.filter(({ _tag }) => _tag === "CutOff")
  }

  /** The power has gone: the durable content is all, with some of what came later, each of that perhaps in part. */
  lose(leftovers: Leftovers): void {
    if (leftovers !== "nothing")
      for (const change of this.changes) {
        if (leftovers.chance(0.5)) continue
        const isTorn = change._tag === "Write" && leftovers.chance(0.3)
        this.durable.apply(change, isTorn ? leftovers.int(0, change.bytes.length) : undefined)
      }
    this.changes = []
    this.now.become(this.durable)
  }
}

/** What happened to the names in a directory. One change takes place as a whole or not at all. */
interface NameChange {
  readonly removed: ReadonlyArray<string>
  readonly added?: { readonly name: string; readonly node: MemoryNode }
}

export type MemoryNode = MemoryFile | MemoryDirectory

export class MemoryDirectory {
  readonly ino = ++numbers
  readonly nlink = 1
  readonly size = 0
  mtimeMs = 0
  names = new Map<string, MemoryNode>()
  private durable = new Map<string, MemoryNode>()
  private changes: Array<NameChange> = []

  namesIn(view: "seen" | "durable"): ReadonlyMap<string, MemoryNode> {
    return view === "seen" ? this.names : this.durable
  }

  change(change: NameChange): void {
    for (const name of change.removed) unlink(this.names.get(name))
    if (change.added !== undefined) {
      unlink(this.names.get(change.added.name))
      if (change.added.node instanceof MemoryFile) change.added.node.nlink++
    }
    apply(this.names, change)
    this.changes.push(change)
  }

  beginSync(): () => void {
    const seen = this.changes.slice()
    return () => {
      const still = new Set(this.changes)
      for (const change of seen) if (still.has(change)) apply(this.durable, change)
      const done = new Set(seen)
      this.changes = this.changes.filter((change) => !done.has(change))
    }
  }

  lose(leftovers: Leftovers): void {
    if (leftovers !== "nothing")
      for (const change of this.changes) if (leftovers.chance(0.5)) apply(this.durable, change)
    this.changes = []
    this.names = new Map(this.durable)
    for (const node of this.names.values()) {
      node.lose(leftovers)
      if (node instanceof MemoryFile) node.nlink = 1
    }
  }
}

const unlink = (node: MemoryNode | undefined): void => {
  if (node instanceof MemoryFile) node.nlink--
}

const apply = (names: Map<string, MemoryNode>, { added, removed }: NameChange): void => {
  for (const name of removed) names.delete(name)
  if (added !== undefined) names.set(added.name, added.node)
}

export const statOf = (node: MemoryNode): FileStat => ({
  dev: 1,
  ino: node.ino,
  size: node.size,
  mtimeMs: node.mtimeMs,
  nlink: node.nlink,
  isDirectory: () => node instanceof MemoryDirectory
})
