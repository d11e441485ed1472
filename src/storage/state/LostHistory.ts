import type { StoredGap } from "../records/Records.ts"

/**
 * Commits that this storage has never had, between what it had when shapes were compared with the database and the point to which
 * they were brought. Another instance may have told a client of one, and be gone with it: of storage that is older than what
 * clients know, or killed before the change was durable. What such a client has nobody can tell.
 */
interface Gap {
  readonly after: bigint
  readonly before: bigint
}

/** All gaps there have been, which are few. */
export class LostHistory {
  private gaps: ReadonlyArray<Gap> = []

  add([after, before]: StoredGap): void {
    const gap = { after: BigInt(after), before: BigInt(before) }
    // Records may be applied again.
    if (this.gaps.some((known) => known.after === gap.after && known.before === gap.before)) return
    this.gaps = [...this.gaps, gap]
  }

  /** What storage had when the comparison began that was begun last; it may have been cut off. */
  get latestAfter(): bigint | undefined {
    return this.gaps.at(-1)?.after
  }

  /** Whether nobody who has read this storage alone can have come to the commit, in a shape whose first rows are from `madeAt`. */
  has(commitLsn: bigint, madeAt: () => bigint): boolean {
    return this.gaps.some(({ after, before }) => commitLsn > after && commitLsn < before && madeAt() < before)
  }

  stored(): ReadonlyArray<StoredGap> {
    return this.gaps.map(({ after, before }) => [String(after), String(before)])
  }
}
