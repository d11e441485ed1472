import type { ObjectInfo } from "../../bucket/ObjectStore.ts"
import { walNumber } from "../chain/ChainObject.ts"
import { packEpoch } from "./Extents.ts"

/** What nobody needs any more stays so long: somebody may be in the middle of it. */
export const graceMillis = 3_600_000
/** What nothing is known of may be of somebody who is just about to say so, and who is there says so more often. */
export const orphanMillis = 24 * 3_600_000
/** A pack of which less is needed is given up: what is needed goes into another one. */
const sparseShare = 1 / 4
/** Put into new packs in one move. */
const repackedBytes = 16 << 20

/** What the writer knows. Ages of objects are by the clock of the store; how long it has known something is by its own. */
export interface Knowledge {
  /** Of the writer: objects of later ones are none of its business. */
  readonly epoch: number
  /** The first object of the chain that the checkpoint before the newest needs; `undefined` while there are no two. */
  readonly chainFrom: number | undefined
  readonly fences: ReadonlySet<number>
  readonly isLive: (handle: string) => boolean
  /** Whether a live shape does not need this file of its own any more. */
  readonly isSuperseded: (handle: string, file: string) => boolean
  /** For how long this shape has been known to be dropped; `undefined` where that is not known. */
  readonly droppedMillis: (handle: string) => number | undefined
  /** Bytes of a pack that shapes need. */
  readonly neededBytes: (pack: string) => number
  /** For how long nothing of a pack has been needed, as far as that is known. */
  readonly unusedMillis: (pack: string) => number
  /** What the clock of the store says now, or said not long ago. */
  readonly storeMillis: number
}

/**
 * Whether nobody needs an object, nor will. Total: what is not known for garbage stays. A fence stays for ever, and so does what either
 * of the last two checkpoints begins with, and what a live shape needs.
 */
export const isGarbage = (
  { key, modifiedMillis }: Pick<ObjectInfo, "key" | "modifiedMillis">,
  known: Knowledge
): boolean => {
  const ageMillis = known.storeMillis - modifiedMillis
  if (!(ageMillis >= graceMillis)) return false
  const n = walNumber(key)
  if (n !== undefined) return isBefore(n, known) && !known.fences.has(n)
  const [, folder, name = "", file] = /^(\w+)\/([^/]+)(?:\/([^/]+))?$/.exec(key) ?? []
  switch (folder) {
    case "checkpoints":
      return /^\d{20}$/.test(name) && file === undefined && isBefore(Number(name), known)
    case "packs": {
      const epoch = packEpoch(name)
      if (epoch === undefined || epoch > known.epoch || file !== undefined) return false
      return known.neededBytes(name) === 0 && known.unusedMillis(name) >= graceMillis
    }
    case "shapes": {
      if (file === undefined) return false
      if (known.isLive(name)) return known.isSuperseded(name, file)
      const droppedMillis = known.droppedMillis(name)
      return droppedMillis === undefined ? ageMillis >= orphanMillis : droppedMillis >= graceMillis
    }
    case "probe":
    case "instances":
      return ageMillis >= orphanMillis
    default:
      return false
  }
}

const isBefore = (n: number, { chainFrom }: Knowledge): boolean => chainFrom !== undefined && n < chainFrom

/** The packs whose needed bytes the next move is to put elsewhere: of those with little in use, the ones that cost least. */
export const sparsePacks = (
  packs: ReadonlyArray<{ readonly pack: string; readonly bytes: number; readonly neededBytes: number }>
): ReadonlySet<string> => {
  const chosen = new Set<string>()
  let bytes = 0
  const sparse = packs.filter((pack) => pack.neededBytes > 0 && pack.neededBytes < sparseShare * pack.bytes)
  for (const { neededBytes, pack } of sparse.toSorted((a, b) => a.neededBytes - b.neededBytes)) {
    bytes += neededBytes
    if (bytes > repackedBytes) break
    chosen.add(pack)
  }
  return chosen
}
