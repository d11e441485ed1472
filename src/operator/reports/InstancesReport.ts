import type { LockFacts } from "./PostgresFacts.ts"
import type { Presence } from "../../storage/levels/Presence.ts"

/** One instance of the service, as far as the one that was asked can see it. */
export interface InstanceReport {
  /** Null: it has not said it in storage, as older releases and instances that share a bucket do not. */
  readonly instanceId: string | null
  readonly release: string | null
  readonly state: string
  /** The one that answers. */
  readonly isSelf: boolean
  readonly holdsLock: boolean
  readonly backendPid: number | null
  readonly address: string | null
  readonly connectedAt: string | null
  /** Of the active one: WAL that it has not confirmed. */
  readonly unconfirmedWalBytes: number | null
  /** Of one that does not write: bytes of the journal that it has not read; of others as they said it some seconds ago. */
  readonly followerLagBytes: number | null
}

interface Self {
  readonly instanceId: string
  readonly release: string
  readonly state: string
  readonly followerLagBytes: number | null
}

/** A state in which an instance is there without a connection that waits for the lock. */
const withoutLock: ReadonlySet<string> = new Set([
  "starting",
  "disconnected",
  "unwritable",
  "asleep",
  "replica",
  "releasing",
  "draining"
])

/** An instance says every ten seconds that it is there. */
const silentMillis = 25_000

type Said = Presence & { readonly name: string }

/** Tells instances that are there from what others have left behind: by whether what they say changes. */
export class PresenceWatch {
  private readonly seen = new Map<string, { readonly beat: number; readonly atMillis: number }>()

  /** Those that may be there; one that has not been watched for long is taken at its word. */
  living(said: ReadonlyArray<Said>, nowMillis: number): ReadonlyArray<Presence> {
    const names = new Set(said.map(({ name }) => name))
    for (const name of this.seen.keys()) if (!names.has(name)) this.seen.delete(name)
    return said.filter(({ beat, name }) => {
      const before = this.seen.get(name)
      if (before?.beat !== beat) this.seen.set(name, { beat, atMillis: nowMillis })
      return before?.beat !== beat || nowMillis - before.atMillis < silentMillis
    })
  }
}

const unconnected = {
  holdsLock: false,
  backendPid: null,
  address: null,
  connectedAt: null,
  unconfirmedWalBytes: null
} as const

/**
 * Those that hold the lock or wait for it, the one that was asked, whether it does or not, and those that say that they do something
 * else. The active one comes first.
 */
export const instancesReport = (
  self: Self,
  locks: ReadonlyArray<LockFacts>,
  presences: ReadonlyArray<Presence>
): ReadonlyArray<InstanceReport> => {
  const ownPid = ownPidOf(self, locks, presences)
  const connected = locks.map((lock): InstanceReport => {
    const said = presences.find(({ backendPid }) => backendPid === lock.backendPid)
    const isSelf = lock.backendPid === ownPid
    return {
      instanceId: isSelf ? self.instanceId : (said?.instanceId ?? null),
      release: isSelf ? self.release : (said?.release ?? null),
      // Of the lock Postgres knows better.
      state: isSelf ? self.state : stateOf(said, lock),
      isSelf,
      holdsLock: lock.holdsLock,
      backendPid: lock.backendPid,
      address: lock.address,
      connectedAt: lock.connectedAt,
      unconfirmedWalBytes: lock.unconfirmedWalBytes,
      followerLagBytes: isSelf ? self.followerLagBytes : (said?.followerLagBytes ?? null)
    }
  })
  const own = connected.some(({ isSelf }) => isSelf) ? [] : [{ ...self, ...unconnected, isSelf: true }]
  const pids = new Set(locks.map(({ backendPid }) => backendPid))
  const others = presences
    .filter(
      ({ backendPid, instanceId, state }) =>
        instanceId !== undefined &&
        instanceId !== self.instanceId &&
        withoutLock.has(state ?? "") &&
        (backendPid === null || !pids.has(backendPid))
    )
    .map(({ followerLagBytes = null, instanceId = null, release, state = "" }): InstanceReport => ({
      ...unconnected,
      instanceId,
      release,
      state,
      isSelf: false,
      followerLagBytes
    }))
  return [...connected, ...own, ...others]
}

const holds: ReadonlySet<string> = new Set(["takingOver", "active", "releasing"])

/** As it has said it; where nothing is said, as with a bucket, that of the only connection that can be its own. */
const ownPidOf = (
  self: Self,
  locks: ReadonlyArray<LockFacts>,
  presences: ReadonlyArray<Presence>
): number | undefined => {
  const said = presences.find(({ instanceId }) => instanceId === self.instanceId)?.backendPid
  if (said !== undefined && said !== null) return said
  const [only, ...more] = locks.filter(
    ({ backendPid, holdsLock }) =>
      holdsLock === holds.has(self.state) && presences.every((other) => other.backendPid !== backendPid)
  )
  return more.length === 0 ? only?.backendPid : undefined
}

const stateOf = (said: Presence | undefined, { holdsLock }: LockFacts): string => {
  if (said?.state === undefined) return holdsLock ? "active" : "waiting"
  // What it has said is up to ten seconds old.
  if (holdsLock) return said.state === "waiting" || said.state === "starting" ? "active" : said.state
  return said.state === "active" || said.state === "starting" ? "waiting" : said.state
}
