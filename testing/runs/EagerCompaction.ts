import { existsSync, readdirSync } from "node:fs"

/** A log is compacted again and again while it is written; or never, where every operation is looked for: a folded log has fewer. */
export const eagerCompaction = (compacts: boolean): Readonly<Record<string, string>> =>
  compacts
    ? { BATON_COMPACTION: "true", BATON_COMPACTION_MIN_SIZE: "4000", BATON_COMPACTION_GARBAGE: "20" }
    : { BATON_COMPACTION: "false" }

/** Bases and folded logs below a directory, by their names: numbers from 2^32 on. */
export const filesOfCompaction = (directory: string): ReadonlyArray<string> =>
  // A service may be killed before it has made the directory.
  !existsSync(directory)
    ? []
    : readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((file) => {
        const number = Number(/\/[sl](\d+)$/.exec(file)?.[1] ?? 0)
        return number >= 2 ** 32
      })
