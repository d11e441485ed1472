import { crc32 } from "node:zlib"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Disk, DiskFile } from "../disk/Disk.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import { fill, writeFully } from "../disk/Files.ts"
import type { Extent } from "../records/Records.ts"
import { growthBy, packKey } from "./Extents.ts"
import type { PackWriter } from "./PackWriter.ts"

/** A file in more extents than this is gathered from the bucket where it is not here. */
const mostExtents = 16

/** Where pieces of files go to in a move: packs, and copies of the files here. */
export interface Packing {
  readonly disk: Disk
  readonly store: ObjectStore
  readonly packs: PackWriter
}

interface GrowingFile {
  readonly bytes: number
  readonly extents?: ReadonlyArray<Extent>
}

/**
 * Adds a piece to a file of a shape: to a pack, and to the copy that is here where that holds all that comes before. Otherwise the
 * copy is removed, and fetched when somebody reads it. Gives where all of the file stands once the packs are there.
 */
export const growFile = async (
  { disk, packs, store }: Packing,
  path: string,
  known: GrowingFile,
  piece: Uint8Array
): Promise<ReadonlyArray<Extent>> => {
  const extents = known.extents ?? []
  const { absorbed, kept } = growthBy(extents, piece.length)
  const copy = await openCopy(disk, path, known.bytes)
  const near = copy === undefined ? undefined : await readCopy(copy, known.bytes, absorbed)
  const far =
    near === undefined && extents.length >= mostExtents ? await readExtents(store, absorbed) : undefined
  const before = near ?? far
  if (copy !== undefined) await extend(disk, copy, piece, near === undefined ? undefined : known.bytes)
  if (before === undefined) return [...extents, await packs.add([piece])]
  return [...kept, await packs.add([...before, piece])]
}

/** The copy, if it is long enough. What else a disk may refuse is no reason to wait: the bucket will have it. */
const openCopy = async (disk: Disk, path: string, bytes: number): Promise<DiskFile | undefined> => {
  const file = await orNothing(disk.openToWrite(path, bytes === 0 ? "empty" : "existing"))
  if (file === undefined || bytes === 0) return file
  const state = await orNothing(file.stat())
  if (state !== undefined && state.size >= bytes) return file
  await orNothing(file.close())
  await orNothing(disk.remove(path))
  return undefined
}

const orNothing = async <A>(work: Promise<A>): Promise<A | undefined> => {
  try {
    return await work
  } catch (error) {
    if (error instanceof DiskFault) return undefined
    throw error
  }
}

/** Writes the piece to its place and closes the copy; without a place, or where that fails, the copy goes. */
const extend = async (
  disk: Disk,
  copy: DiskFile,
  piece: Uint8Array,
  position: number | undefined
): Promise<void> => {
  const written =
    position === undefined
      ? undefined
      : await orNothing(writeFully(copy, piece, position).then(() => "written" as const))
  await orNothing(copy.close())
  if (written === undefined) await orNothing(disk.remove(copy.path))
}

/** The last extents of a file of so many bytes, from its copy; `undefined` where that does not hold them. */
const readCopy = async (
  copy: DiskFile,
  bytes: number,
  extents: ReadonlyArray<Extent>
): Promise<ReadonlyArray<Buffer> | undefined> => {
  const parts: Array<Buffer> = []
  let end = bytes
  for (const extent of extents.toReversed()) {
    const part = Buffer.allocUnsafe(extent.bytes)
    const isThere = await orNothing(fill(copy, end - extent.bytes, part))
    if (isThere !== true || crc32(part) !== extent.crc) return undefined
    parts.unshift(part)
    end -= extent.bytes
  }
  return parts
}

/** The bytes of extents, from the bucket; `undefined` where it does not hold them. Fails with a `BucketFault`. */
const readExtents = async (
  store: ObjectStore,
  extents: ReadonlyArray<Extent>
): Promise<ReadonlyArray<Buffer> | undefined> => {
  const parts: Array<Buffer> = []
  for (const extent of extents) {
    const { at, bytes, crc, pack } = extent
    const part = await store.get(packKey(pack), { from: at, to: at + bytes })
    if (part?.length !== bytes || crc32(part) !== crc) return undefined
    parts.push(part)
  }
  return parts
}

/** Puts those of these extents that stand in the given packs into new ones, with the same bytes. */
export const repack = async (
  { packs, store }: Packing,
  extents: ReadonlyArray<Extent>,
  sparse: ReadonlySet<string>
): Promise<ReadonlyArray<Extent>> => {
  const repacked: Array<Extent> = []
  for (const extent of extents) {
    const content = sparse.has(extent.pack) ? await readExtents(store, [extent]) : undefined
    repacked.push(content === undefined ? extent : await packs.add(content))
  }
  return repacked
}
