import type { MembershipOptions } from "../../membership/MembershipState.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { Membership } from "../../where/index.ts"
import type { ConcernedShapes } from "../routing/ConcernedShapes.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"

export interface LaneOptions extends MembershipOptions {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  readonly sessions: Pick<SnapshotSessions["Service"], "acquire">
  readonly makeMatcher: (membership: Membership) => MakeMatcher
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** For a file with changes that wait and have no room in memory: the first that takes one. */
  readonly directories: ReadonlyArray<string>
  /** Asks the server how far it has sent everything. */
  readonly askForPosition: () => void
  /** What shapes have cannot be continued: they are to be compared with the database. The session is over then. */
  readonly positionLost: (reason: string) => void
}

/** What the lane tells the router. */
export interface LaneHost {
  /** See `StreamPosition`. */
  readonly behind: (lsn: Lsn) => void
  readonly caughtUp: () => boolean
  /** A row has a NULL of which clients of some of these were told that it cannot be. */
  readonly dropForNull: ConcernedShapes["forbiddenNull"]
  /** A transaction brings this: it ends those of the shapes that it is for. */
  readonly dropConcerned: (
    shapes: Iterable<ShapeState>,
    at: { readonly commitLsn: Lsn; readonly xid: number },
    reason: string
  ) => void
}
