/**
 * What is stored has a level, one number for a whole storage directory. A release reads every level from its oldest to its
 * newest, and writes what the directory's level allows and nothing beyond. The level is raised when no release that is too old
 * for the next one is there, or has been for a while: see `LevelDecision.ts`. `docs/upgrade.md` has this table for people.
 *
 * Nothing is converted when a level is raised. What an older level wrote stays as it is and can be read, but for what only
 * older releases read, which is removed; what is written from then on has the form of the new one.
 */
const levels = [
  /** Log files `l<n>` have an index `l<n>.idx` beside them, which the releases of this level read from. */
  { level: 2, since: "0.1.0" },
  /**
   * Log files have no index: half as many files, and half as many waits for the disk when entries are moved to them. There are
   * shapes whose clause has sub-selects, and with them late transactions and `behind` in the journal. Logs are compacted. Checkpoints
   * hold shapes in pages.
   */
  { level: 3, since: "0.2.0" }
] as const

/** The first level at which log files have no index. */
export const levelWithoutLogIndexes = 3
/** The first level at which there are shapes with sub-selects. */
export const levelOfSubselects = 3
/** The first level at which logs are compacted. */
export const levelOfCompaction = 3
/** The first level whose checkpoints hold shapes in pages: `CheckpointPage.ts`. */
export const levelOfPages = 3
/** The first level that keeps the first release out: see `Gate.ts`. */
export const gatedLevel = 3

/** The levels that a release reads, and the highest that it writes. */
export interface LevelRange {
  readonly oldest: number
  readonly newest: number
}

/** Of this release. */
export const ownLevels: LevelRange = {
  oldest: levels[0].level,
  newest: levels[levels.length - 1]?.level ?? 0
}

/** A directory that says nothing of its level: the first release did not know of any. */
export const unsaidLevel = levels[0].level

const numbersOf = (version: string): ReadonlyArray<number> =>
  (/^\d+(\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number)

/** Whether a version is another one, or comes after it. What follows the three numbers is not looked at. */
const isFrom = (version: string, other: string): boolean => {
  const [a, b] = [numbersOf(version), numbersOf(other)]
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

/** The highest level that a release reads; `undefined` for one before the first. */
export const newestLevelOf = (version: string): number | undefined =>
  levels.findLast(({ since }) => isFrom(version, since))?.level

/** The first release that reads a level; `undefined` where this one has not heard of it. */
export const releaseOf = (level: number): string | undefined =>
  levels.find((known) => known.level === level)?.since
