/**
 * The roles of a storage engine, as data.
 *
 * `opened`      what storage held when it was loaded can be read; nobody keeps it up to date
 * `following`   reads what the writer of the journal writes, again and again
 * `takingOver`  has the lock and reads the rest of the journal, to write it from there on
 * `writing`     writes the journal, in an epoch of its own
 * `leaving`     writes nothing more; what it has composed is on its way to the disk
 * `closed`      for good
 */
export const roleNames = ["opened", "following", "takingOver", "writing", "leaving", "closed"] as const
export type RoleName = (typeof roleNames)[number]

/**
 * What happens to an engine.
 *
 * `follow`    it is to be kept up to date
 * `takeOver`  the lock was granted: it is to write. `won`: its epoch is published, `gaveUp`: the lock was lost before
 *             that, or the disk failed
 * `release`   it is to write no more. `left`: what it had composed is on disk, or that has taken too long
 * `close`     the process ends
 */
export const roleEvents = ["follow", "takeOver", "won", "gaveUp", "release", "left", "close"] as const
export type RoleEvent = (typeof roleEvents)[number]

/**
 * The next role for every role and event. `null`: the event cannot happen there, and seeing it is a bug.
 *
 * `won`, `gaveUp` and `left` end work that was begun before: a close in between leaves them behind.
 */
const roleTransitions = {
  opened: {
    follow: "following",
    takeOver: "takingOver",
    won: null,
    gaveUp: null,
    release: "opened",
    left: null,
    close: "closed"
  },
  following: {
    follow: "following",
    takeOver: "takingOver",
    won: null,
    gaveUp: null,
    // An instance that gives the lock back does not know whether it ever came to write.
    release: "following",
    left: null,
    close: "closed"
  },
  takingOver: {
    follow: null,
    takeOver: null,
    won: "writing",
    gaveUp: "following",
    release: "takingOver",
    left: null,
    close: "closed"
  },
  writing: {
    follow: null,
    takeOver: null,
    won: null,
    gaveUp: null,
    release: "leaving",
    left: null,
    close: "closed"
  },
  leaving: {
    follow: null,
    takeOver: null,
    won: null,
    gaveUp: null,
    release: "leaving",
    left: "following",
    close: "closed"
  },
  closed: {
    follow: "closed",
    takeOver: "closed",
    won: "closed",
    gaveUp: "closed",
    release: "closed",
    left: "closed",
    close: "closed"
  }
} as const satisfies Readonly<Record<RoleName, Readonly<Record<RoleEvent, RoleName | null>>>>

/** The other roles from which an event leads to `To`. */
export type RolesBefore<Event extends RoleEvent, To extends RoleName> = {
  [Name in Exclude<RoleName, To>]: (typeof roleTransitions)[Name][Event] extends To ? Name : never
}[Exclude<RoleName, To>]

/** The next role, or `null` when the event cannot happen in this one. */
export const roleAfter = (role: RoleName, event: RoleEvent): RoleName | null => roleTransitions[role][event]
