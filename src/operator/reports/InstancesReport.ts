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
  /** Of the one that answers, where it waits: bytes of the journal that it has not read. */
  readonly followerLagBytes: number | null
}

interface Self {
  readonly instanceId: string
  readonly release: string
  readonly state: string
  readonly followerLagBytes: number | null
}

/** Those that hold the lock or wait for it, and the one that was asked, whether it does or not. The active one comes first. */
export const instancesReport = (
  self: Self,
  locks: ReadonlyArray<LockFacts>,
  presences: ReadonlyArray<Presence>
): ReadonlyArray<InstanceReport> => {
  const ownPids = new Set(
    presences.filter(({ instanceId }) => instanceId === self.instanceId).map(({ backendPid }) => backendPid)
  )
  const reports = locks.map((lock): InstanceReport => {
    const said = presences.find(({ backendPid }) => backendPid === lock.backendPid)
    const isSelf = ownPids.has(lock.backendPid) || (said === undefined && locks.length === 1)
    return {
      instanceId: isSelf ? self.instanceId : (said?.instanceId ?? null),
      release: isSelf ? self.release : (said?.release ?? null),
      state: isSelf ? self.state : (said?.state ?? (lock.holdsLock ? "active" : "waiting")),
      isSelf,
      holdsLock: lock.holdsLock,
      backendPid: lock.backendPid,
      address: lock.address,
      connectedAt: lock.connectedAt,
      unconfirmedWalBytes: lock.unconfirmedWalBytes,
      followerLagBytes: isSelf ? self.followerLagBytes : null
    }
  })
  if (reports.some(({ isSelf }) => isSelf)) return reports
  return [
    ...reports,
    {
      ...self,
      isSelf: true,
      holdsLock: false,
      backendPid: null,
      address: null,
      connectedAt: null,
      unconfirmedWalBytes: null
    }
  ]
}
