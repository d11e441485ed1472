import { join } from "node:path"
import { crc32 } from "node:zlib"
import { writeDurably } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"

/**
 * The first release has never heard of levels, and would read a directory of a higher level as far as it can. It is kept out by
 * the file of an epoch that there cannot be: it reads the files of all epochs before anything else, finds one whose checksum
 * is right and whose content is a sentence, ends with that sentence in its last words, and starts nothing anew. Where it is
 * running already it takes that epoch for its successor's, gives up the lock, and cannot take over again.
 *
 * It is one file, so it is there or not: no crash can leave a directory that the first release takes for an empty one.
 */
const gateEpoch = 0xffff_fffe

/** Numbers from here on are no epochs. */
export const firstReservedEpoch = 0xffff_fff0

/** Twenty letters at most: so many does a message of V8 repeat of what is no JSON. */
const gateText = "use Baton >= 0.2.0"

const gateFile = (epochs: string): string => join(epochs, gateEpoch.toString(16))

/** Whether the first release is kept out. */
export const isGateClosed = async ({ disk, epochs }: StoragePaths): Promise<boolean> =>
  (await disk.list(epochs)).includes(gateEpoch.toString(16))

/** Keeps the first release out, durably. It may be done again. */
export const closeGate = ({ disk, epochs }: StoragePaths): Promise<void> =>
  writeDurably(disk, gateFile(epochs), `${gateText} ${crc32(gateText)}`)
