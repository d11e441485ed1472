import type { Effect } from "effect"
import type { MembershipOptions } from "../../membership/MembershipState.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { Membership } from "../../where/index.ts"
import type { MendServices } from "../mending/MendTable.ts"
import type { ConcernedShapes } from "../routing/ConcernedShapes.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import type { LaneTable } from "./LaneTable.ts"

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
  /**
   * Whether the stream may lack rows of these tables that a snapshot shows. To be called before the snapshot is taken; what it
   * gives is asked in it, completes when the stream lacks none, fails while that cannot be told, and never completes where it may,
   * because then the session is over.
   */
  readonly published: (
    tables: Iterable<Pick<LaneTable, "name" | "oid" | "schema">>
  ) => (session: Pick<SnapshotSession, "run">) => Effect.Effect<void, PgError>
  readonly inspector: MendServices["inspector"]
  readonly definedAnew: MendServices["definedAnew"]
  readonly mending: Pick<MendServices, "makeMatcher" | "redefine">
  /** What shapes have cannot be continued: they are to be compared with the database. The session is over then. */
  readonly positionLost: (reason: string) => void
}

/** What the lane tells the router. */
export interface LaneHost {
  /** See `StreamPosition`. */
  readonly behind: (lsn: Lsn) => void
  readonly caughtUp: () => boolean
  /** These have no sub-selects, and are behind with the others. Behind `behind`. */
  readonly late: (shapes: ReadonlyArray<ShapeState>) => void
  /** It is not the lane's any more: its changes are to be routed as those of others. Between two transactions. */
  readonly dismissed: (shape: ShapeState) => void
  /** A row has a NULL of which clients of some of these were told that it cannot be. */
  readonly dropForbidden: ConcernedShapes["forbidden"]
  /** A transaction brings this: it ends those of the shapes that it is for. */
  readonly dropConcerned: (
    shapes: Iterable<ShapeState>,
    at: { readonly commitLsn: Lsn; readonly xid: number },
    reason: string
  ) => void
}
