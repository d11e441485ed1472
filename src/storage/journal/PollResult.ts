export type PollResult =
  /** Records were applied; there may be more. */
  | "progress"
  /** Everything that can be read has been applied. */
  | "idle"
  /** There is more, but it cannot be seen from here yet: a network file system may take its time. */
  | "behind"
  /** What has been applied is not what the newest epoch continues from, or files are gone: load again. */
  | "stale"
