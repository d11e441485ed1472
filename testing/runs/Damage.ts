import { openSync, closeSync, readdirSync, readSync, statSync, truncateSync, writeSync } from "node:fs"
import * as path from "node:path"
import type { Random } from "../Random.ts"

/** What a faulty disk or a power cut does to one file. */
export interface Damage {
  readonly file: string
  readonly what: string
}

const filesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(directory, entry.name)
    return entry.isDirectory() ? filesBelow(name) : [name]
  })

/** Flips one bit of a file of storage, or cuts its end off. `kinds` are parts of the file's path to choose by. */
export const damageFile = (
  storageDir: string,
  random: Random,
  kinds: ReadonlyArray<RegExp>
): Damage | undefined => {
  const kind = random.pick(kinds)
  const candidates = filesBelow(storageDir)
    .filter((file) => kind.test(file) && statSync(file).size > 0)
    .toSorted()
  if (candidates.length === 0) return undefined
  const file = random.pick(candidates)
  const { size } = statSync(file)
  if (random.chance(0.4)) {
    const lost = Math.min(size, random.int(1, 200))
    truncateSync(file, size - lost)
    return { file, what: `lost its last ${lost} of ${size} bytes` }
  }
  const at = random.int(0, size - 1)
  const bit = 1 << random.int(0, 7)
  const fd = openSync(file, "r+")
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ bit
  writeSync(fd, byte, 0, 1, at)
  closeSync(fd)
  return { file, what: `has a flipped bit in byte ${at} of ${size}` }
}
