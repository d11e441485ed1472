import type { StoragePaths } from "../disk/StorageDir.ts"
import { readLevelRecord } from "./LevelFile.ts"
import { ownLevels, releaseOf, unsaidLevel } from "./Levels.ts"

/** What anybody can be told of the level of storage, whichever instance is asked. */
export interface LevelStatus {
  readonly level: number
  /** The highest that this release knows. */
  readonly newest: number
  /** The oldest release that reads what is stored: a rollback is possible to it and to all after it. */
  readonly oldestRelease: string
  /** Why the level is not raised now, and when that ends by itself. */
  readonly because: string | null
  readonly untilMillis: number | null
}

/** `known` is the level that the journal has spoken of. */
export const levelStatus = async (paths: StoragePaths, known: number): Promise<LevelStatus> => {
  const record = await readLevelRecord(paths)
  const level = Math.max(known, record?.level ?? unsaidLevel)
  const { newest } = ownLevels
  return {
    level,
    newest,
    oldestRelease: releaseOf(level) ?? record?.raisedBy ?? "unknown",
    because: level < newest ? (record?.holds?.because ?? null) : null,
    untilMillis: level < newest ? (record?.holds?.untilMillis ?? null) : null
  }
}
