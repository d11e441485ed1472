import { gatedLevel, type LevelRange } from "./Levels.ts"

/** An instance that says of itself what it is. */
interface Participant {
  readonly release: string
  readonly newest: number
}

/** For each level: when an instance was last seen that knows no higher one. Milliseconds since 1970. */
export type LastSeen = Readonly<Record<number, number>>

/** All that the decision whether to raise the level of storage rests on. */
interface LevelFacts {
  readonly stored: number
  /** The first release can no longer read this directory: raising the level to the next has been begun. */
  readonly isGateClosed: boolean
  readonly own: LevelRange
  /** The newest level that the oldest release reads that must be able to come back, as configured. */
  readonly floor: number | undefined
  /** Instances beside this one. */
  readonly participants: ReadonlyArray<Participant>
  /** Connections that hold the lock or wait for it, of instances that do not say what they are: the first release. */
  readonly silent: number
  readonly lastSeen: LastSeen
  /** No release that knows less has ever written here: there is none to go back to. */
  readonly isOwn: boolean
  /** When a release that knows of levels came to this directory first. */
  readonly sinceMillis: number
  readonly nowMillis: number
  /** For how long nothing older may have been seen. */
  readonly windowMillis: number
  /** For so long somebody who has lost the lock may still answer requests from what its successor writes. */
  readonly drainMillis: number
  /** An operator has said that there will be no going back. */
  readonly isForced: boolean
}

export type LevelDecision =
  /** Storage has the newest level that this release knows. */
  | { readonly _tag: "Newest" }
  | { readonly _tag: "Raise"; readonly to: number }
  /** Not now: `because` says what for, as a clause. `untilMillis`: it is raised then, if nothing older comes. */
  | { readonly _tag: "Hold"; readonly because: string; readonly untilMillis: number | undefined }

/** When what is older than `level` was last seen. A clock that was set back makes it "now"; never is long ago. */
const olderSeen = ({ lastSeen, nowMillis }: LevelFacts, level: number): number => {
  const times = Object.entries(lastSeen)
    .filter(([newest]) => Number(newest) < level)
    .map(([, millis]) => Math.min(millis, nowMillis))
  return Math.max(-Infinity, ...times)
}

const hold = (because: string, untilMillis?: number): LevelDecision => ({
  _tag: "Hold",
  because,
  untilMillis
})

/**
 * Whether the holder of the lock raises the level of storage. Nobody who is there may be too old for it, however much an
 * operator wants it; an operator can only shorten the time in which somebody older might come back.
 */
export const decideLevel = (facts: LevelFacts): LevelDecision => {
  const { floor, nowMillis, own, participants, stored } = facts
  if (stored >= own.newest) return { _tag: "Newest" }
  // Who would have to be let back in cannot come any more: half of it is done, and the other half follows.
  if (facts.isGateClosed && stored < gatedLevel) return { _tag: "Raise", to: gatedLevel }
  if (facts.silent > 0)
    return hold("an instance is there that does not say which release it is, as release 0.1.0 does not")
  const to = Math.min(own.newest, floor ?? own.newest, ...participants.map(({ newest }) => newest))
  if (to <= stored) {
    const older = participants.find(({ newest }) => newest <= stored)
    return hold(
      older === undefined
        ? "BATON_ROLLBACK_FLOOR says so"
        : `an instance of release ${older.release} is there`
    )
  }
  const seenMillis = olderSeen(facts, to)
  const untilMillis = facts.isForced
    ? seenMillis + facts.drainMillis
    : Math.max(
        seenMillis + Math.max(facts.windowMillis, facts.drainMillis),
        facts.isOwn ? -Infinity : Math.min(facts.sinceMillis, nowMillis) + facts.windowMillis
      )
  if (nowMillis >= untilMillis) return { _tag: "Raise", to }
  return hold(
    facts.isForced
      ? "an older instance may still be answering its last requests"
      : "an older release may still be brought back",
    untilMillis
  )
}
