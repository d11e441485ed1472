import { join } from "node:path"
import { crc32 } from "node:zlib"
import { readWhole, writeDurably } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { LastSeen } from "./LevelDecision.ts"

/** What a storage directory says of its level: `level.json`, written by the holder of the lock. */
export interface LevelRecord {
  readonly level: number
  /** The release that raised it, and when; `null` while it is the level that it began with. */
  readonly raisedBy: string | null
  readonly raisedAtMillis: number | null
  /** When a release that knows of levels came here first. Milliseconds since 1970. */
  readonly sinceMillis: number
  readonly lastSeen: LastSeen
  /** It was begun by a release that knows the newest level of the one that says so, and none that does not has written in it. */
  readonly isOwn?: boolean
  /** Why it is not raised now, and when that ends by itself; for instances that wait, and for people. */
  readonly holds: { readonly because: string; readonly untilMillis: number | null } | null
}

const levelFile = ({ root }: StoragePaths): string => join(root, "level.json")

/**
 * As it is now; `undefined` when there is none, or when it is damaged: then the level is the highest of those that the
 * checkpoint and the journal speak of.
 */
export const readLevelRecord = async (paths: StoragePaths): Promise<LevelRecord | undefined> => {
  const text = (await readWhole(paths.disk, levelFile(paths)))?.toString()
  if (text === undefined) return undefined
  const end = text.lastIndexOf("\n")
  const json = text.slice(0, end)
  if (end < 0 || String(crc32(json)) !== text.slice(end + 1)) return undefined
  return JSON.parse(json) as LevelRecord
}

/** Durable when it completes. */
export const writeLevelRecord = (paths: StoragePaths, record: LevelRecord): Promise<void> => {
  const json = JSON.stringify(record)
  return writeDurably(paths.disk, levelFile(paths), `${json}\n${crc32(json)}`)
}

/** An operator has said that there will be no going back: `baton finalise` puts it there, the holder of the lock removes it. */
const requestFile = ({ root }: StoragePaths): string => join(root, "finalise")

export const isFinaliseRequested = async (paths: StoragePaths): Promise<boolean> =>
  (await paths.disk.stat(requestFile(paths))) !== undefined

export const requestFinalise = (paths: StoragePaths): Promise<void> =>
  writeDurably(paths.disk, requestFile(paths), "")

export const forgetFinaliseRequest = (paths: StoragePaths): Promise<void> =>
  paths.disk.remove(requestFile(paths))
