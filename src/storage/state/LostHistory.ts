import type { StoredGap } from "../records/Records.ts"

/** The last commits of which storage has everything that there was for shapes. */
interface KnownCommits {
  readonly ordinary: bigint
  /** Of shapes with sub-selects, which may be behind the others, or ahead: what comes late does not count as ordinary. */
  readonly members: bigint
}

/**
 * Commits that this storage has never had, between what it had when shapes were compared with the database and the point to which
 * they were brought. Another instance may have told a client of one, and be gone with it: of storage that is older than what
 * clients know, or killed before the change was durable. What such a client has nobody can tell.
 */
interface Gap {
  readonly after: KnownCommits
  readonly before: bigint
}

/** All gaps there have been, which are few. */
export class LostHistory {
  private gaps: ReadonlyArray<Gap> = []

  add([after, before, members = after]: StoredGap): void {
    const gap = { after: { ordinary: BigInt(after), members: BigInt(members) }, before: BigInt(before) }
    // Records may be applied again.
    if (this.gaps.some((known) => known.after.ordinary === gap.after.ordinary && known.before === gap.before))
      return
    this.gaps = [...this.gaps, gap]
  }

  /** What storage had when the comparison began that was begun last; see `beforeComparison`. */
  get latestAfter(): KnownCommits | undefined {
    return this.gaps.at(-1)?.after
  }

  /** Whether nobody who has read this storage alone can have come to the commit, in a shape whose first rows are from `madeAt`. */
  has(commitLsn: bigint, kind: keyof KnownCommits, madeAt: () => bigint): boolean {
    return this.gaps.some(
      ({ after, before }) => commitLsn > after[kind] && commitLsn < before && madeAt() < before
    )
  }

  stored(): ReadonlyArray<StoredGap> {
    return this.gaps.map(({ after, before }) => storedGap(after, before))
  }
}

export const storedGap = ({ members, ordinary }: KnownCommits, before: bigint): StoredGap => [
  String(ordinary),
  String(before),
  String(members)
]

/**
 * Late transactions come in order: the last one of any shape tells how far all of them are that read sub-selects. What brings other
 * shapes to their table while changes go on comes late as well, behind all that was written before: who has read it has it from here.
 */
export const knownCommits = (store: StoredCommits): KnownCommits => {
  const { behindLsn, lastCommitLsn } = store
  let ordinary = lastCommitLsn
  let members = behindLsn ?? lastCommitLsn
  for (const shape of store.all()) {
    const { tx } = shape.end
    if (shape.members.length > 0) members = tx > members ? tx : members
    else if (tx > ordinary) ordinary = tx
  }
  return { ordinary, members }
}

/**
 * What storage had before the comparison that is about to begin. One before it that was cut off may have appended what shapes lacked
 * already: `closed` is the gap before that commit, which readers have from this storage, and the next gap begins behind it.
 */
export const beforeComparison = (
  store: StoredCommits & { readonly lostHistory: LostHistory },
  wasCutOff: boolean
): { readonly had: KnownCommits; readonly closed?: StoredGap } => {
  const now = knownCommits(store)
  const had = wasCutOff ? store.lostHistory.latestAfter : undefined
  if (had === undefined) return { had: now }
  // Nothing else is appended while shapes are compared.
  if (store.lastCommitLsn <= had.ordinary) return { had }
  return { had: now, closed: storedGap(had, store.lastCommitLsn) }
}

/** What counts of `ShapeStore`. */
interface StoredCommits {
  readonly lastCommitLsn: bigint
  readonly behindLsn: bigint | undefined
  readonly all: () => Iterable<{
    readonly members: ReadonlyArray<unknown>
    readonly end: { readonly tx: bigint }
  }>
}
