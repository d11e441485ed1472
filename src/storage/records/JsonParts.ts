import { promisify } from "node:util"
import { gzip, gzipSync } from "node:zlib"

/** A part of a JSON text. What it comes to when it is compressed is kept in its place. */
export interface JsonPart {
  /** Empty once it is packed. */
  text: string
  packed: Buffer | undefined
}

export const jsonPart = (text: string): JsonPart => ({ text, packed: undefined })

const lasting = (text: string): JsonPart => ({ text: "", packed: gzipSync(text) })
const opening = lasting("[")
const comma = lasting(",")
const closing = lasting("]")

/**
 * The whole text, compressed. Each part is a member of its own, as files of gzip may have them: who decompresses the file gets the text and
 * cannot tell. A part is compressed once, however often it is written.
 */
export const packParts = async (parts: ReadonlyArray<JsonPart>): Promise<Buffer> =>
  Buffer.concat(await Promise.all(parts.map(pack)))

const pack = async (part: JsonPart): Promise<Buffer> => {
  if (part.packed !== undefined) return part.packed
  const packed = await promisify(gzip)(part.text)
  part.packed = packed
  part.text = ""
  return packed
}

/** Entries of one part. */
const entriesTogether = 256

interface Group<K> {
  readonly keys: Set<K>
  /** `undefined` once one of them is another, or gone. */
  part: JsonPart | undefined
}

/** A `Map` that is written as a whole whenever it has changed: what is the same as the last time costs next to nothing. */
export class WrittenMap<K extends string | number, V> {
  private readonly entries = new Map<K, { value: V; readonly group: Group<K> }>()
  private groups: Array<Group<K>> = []

  get(key: K): V | undefined {
    return this.entries.get(key)?.value
  }

  has(key: K): boolean {
    return this.entries.has(key)
  }

  keys(): IterableIterator<K> {
    return this.entries.keys()
  }

  set(key: K, value: V): void {
    const known = this.entries.get(key)
    if (known !== undefined) {
      known.value = value
      known.group.part = undefined
      return
    }
    let group = this.groups.at(-1)
    if (group === undefined || group.keys.size >= entriesTogether)
      this.groups.push((group = { keys: new Set(), part: undefined }))
    group.keys.add(key)
    group.part = undefined
    this.entries.set(key, { value, group })
  }

  delete(key: K): void {
    const known = this.entries.get(key)
    if (known === undefined) return
    const { group } = known
    this.entries.delete(key)
    group.keys.delete(key)
    group.part = undefined
    if (group.keys.size === 0) this.groups = this.groups.filter((other) => other !== group)
  }

  clear(): void {
    this.entries.clear()
    this.groups = []
  }

  /** Of the text that `JSON.stringify` gives for a list of its entries. */
  parts(): ReadonlyArray<JsonPart> {
    const groups = this.groups.map((group) => (group.part ??= this.partOf(group)))
    return [opening, ...groups.flatMap((part, i) => (i === 0 ? [part] : [comma, part])), closing]
  }

  private partOf({ keys }: Group<K>): JsonPart {
    return jsonPart(JSON.stringify(Array.from(keys, (key) => [key, this.get(key)])).slice(1, -1))
  }
}
