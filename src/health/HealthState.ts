import { type Refusal, type RefusalReason, refusals } from "./Refusal.ts"

/**
 * The states of an instance and what each allows, as data.
 *
 * `starting`      storage is being loaded; nothing can be answered from it yet
 * `waiting`       serves existing shapes and waits for the lock; also after the lock was lost or another instance was seen
 * `disconnected`  the same, with the database out of reach
 * `unwritable`    the same, after it had the lock and could not write storage; it tries again
 * `takingOver`    holds the lock, not yet streaming
 * `active`        streams, creates shapes
 * `replica`       serves existing shapes, and never asks for the lock
 * `asleep`        was idle for so long that it gave up its database connections; the next request wakes it
 * `releasing`     asked to stop while holding the lock: finishes what it has received, then gives the lock back
 * `draining`      asked to stop and without the lock: answers open requests from its successor's journal
 * `stopped`       nothing is answered any more
 */
export const healthStates = [
  "starting",
  "waiting",
  "disconnected",
  "unwritable",
  "takingOver",
  "active",
  "replica",
  "asleep",
  "releasing",
  "draining",
  "stopped"
] as const
export type HealthState = (typeof healthStates)[number]

/**
 * What happens to an instance.
 *
 * `storageLoaded`  every shape that storage holds is known
 * `replicates`     the same, of an instance that is never to write
 * `databaseUp`     a connection was made, `databaseDown`: it could not be made, or was lost with the database
 * `lockGranted`    this instance's connection holds the advisory lock, `lockLost`: that connection is gone
 * `storageFailed`  storage could not be taken over, and the lock was given back
 * `streamStarted`  Postgres streams changes to it
 * `fenced`         another instance was seen to have opened a newer epoch in storage
 * `slept`          the database connections were given up after a time without changes, `woken`: a request came
 * `shutdown`       asked to stop, `lockReleased`: the lock was given back, `drained`: nothing is left to answer
 */
export const healthEvents = [
  "storageLoaded",
  "replicates",
  "databaseUp",
  "databaseDown",
  "lockGranted",
  "lockLost",
  "storageFailed",
  "streamStarted",
  "fenced",
  "slept",
  "woken",
  "shutdown",
  "lockReleased",
  "drained"
] as const
export type HealthEvent = (typeof healthEvents)[number]

/**
 * The next state for every state and event. `null`: the event cannot happen there and seeing it is a bug.
 *
 * An event that two fibers can race to send is allowed in each state that the race can leave behind: a lock granted at
 * the moment of a shutdown, for example, or several requests that wake a sleeping instance.
 */
const transitions: Readonly<Record<HealthState, Readonly<Record<HealthEvent, HealthState | null>>>> = {
  starting: {
    storageLoaded: "waiting",
    replicates: "replica",
    databaseUp: "starting",
    databaseDown: "starting",
    // The lock is asked for only when storage is loaded, or its holder could do nothing with it.
    lockGranted: null,
    lockLost: "starting",
    storageFailed: null,
    streamStarted: null,
    fenced: "starting",
    slept: null,
    woken: "starting",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  waiting: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "waiting",
    databaseDown: "disconnected",
    lockGranted: "takingOver",
    lockLost: "waiting",
    storageFailed: "unwritable",
    streamStarted: null,
    // A waiting instance sees other instances take over all the time.
    fenced: "waiting",
    slept: null,
    woken: "waiting",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  disconnected: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "waiting",
    databaseDown: "disconnected",
    lockGranted: "takingOver",
    lockLost: "disconnected",
    storageFailed: "disconnected",
    streamStarted: null,
    fenced: "disconnected",
    slept: null,
    woken: "disconnected",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  unwritable: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "unwritable",
    databaseDown: "disconnected",
    lockGranted: "takingOver",
    lockLost: "unwritable",
    storageFailed: "unwritable",
    streamStarted: null,
    fenced: "unwritable",
    slept: null,
    woken: "unwritable",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  takingOver: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "takingOver",
    databaseDown: "disconnected",
    lockGranted: null,
    lockLost: "waiting",
    storageFailed: "unwritable",
    streamStarted: "active",
    fenced: "waiting",
    slept: null,
    woken: "takingOver",
    shutdown: "releasing",
    lockReleased: null,
    drained: null
  },
  active: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "active",
    databaseDown: "disconnected",
    lockGranted: null,
    lockLost: "waiting",
    storageFailed: "unwritable",
    streamStarted: null,
    fenced: "waiting",
    slept: "asleep",
    woken: "active",
    shutdown: "releasing",
    lockReleased: null,
    drained: null
  },
  replica: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "replica",
    databaseDown: "replica",
    lockGranted: null,
    // Said of every instance that has failed, whatever it had.
    lockLost: "replica",
    storageFailed: null,
    streamStarted: null,
    // It sees other instances take over all the time.
    fenced: "replica",
    slept: null,
    woken: "replica",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  asleep: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "asleep",
    databaseDown: "asleep",
    lockGranted: null,
    lockLost: "asleep",
    storageFailed: "asleep",
    streamStarted: null,
    fenced: "asleep",
    slept: "asleep",
    woken: "waiting",
    shutdown: "draining",
    lockReleased: null,
    drained: null
  },
  releasing: {
    storageLoaded: null,
    replicates: null,
    databaseUp: "releasing",
    databaseDown: "draining",
    lockGranted: null,
    lockLost: "draining",
    storageFailed: "draining",
    streamStarted: "releasing",
    fenced: "draining",
    slept: "draining",
    woken: "releasing",
    shutdown: "releasing",
    lockReleased: "draining",
    drained: null
  },
  draining: {
    storageLoaded: "draining",
    replicates: "draining",
    databaseUp: "draining",
    databaseDown: "draining",
    // Granted while the shutdown was on its way: the connection is being closed, and the lock goes with it.
    lockGranted: "draining",
    lockLost: "draining",
    storageFailed: "draining",
    streamStarted: null,
    fenced: "draining",
    slept: null,
    woken: "draining",
    shutdown: "draining",
    lockReleased: "draining",
    drained: "stopped"
  },
  stopped: {
    storageLoaded: "stopped",
    replicates: "stopped",
    databaseUp: "stopped",
    databaseDown: "stopped",
    lockGranted: "stopped",
    lockLost: "stopped",
    storageFailed: "stopped",
    streamStarted: "stopped",
    fenced: "stopped",
    slept: "stopped",
    woken: "stopped",
    shutdown: "stopped",
    lockReleased: "stopped",
    drained: "stopped"
  }
}

/** The next state, or `null` when the event cannot happen in this one. */
export const transition = (state: HealthState, event: HealthEvent): HealthState | null =>
  transitions[state][event]

/** What `/v1/health` answers. */
interface HealthAnswer {
  readonly status: 200 | 202 | 503
  readonly body: {
    readonly status: "active" | "replica" | "waiting" | "starting" | "stopping" | "failed"
    readonly reason?: string
  }
}

interface Abilities {
  readonly health: HealthAnswer
  /** What is said where the state is the reason; nearly never in `active`. */
  readonly refusal: Refusal
  /** Requests for shapes that storage holds are answered at once. In `starting` they have to wait for `storageLoaded`. */
  readonly servesExistingShapes: boolean
  /** New shapes are created and shapes are deleted. */
  readonly createsShapes: boolean
  /** May write to shared storage, as far as this process knows; storage compares epochs because it may be mistaken. */
  readonly mayAppend: boolean
  /** A request should send `woken` and wait for what follows. */
  readonly wakesOnRequest: boolean
  /** Waiting for it to become active is worth a request's while: it was not asked to stop, and is no replica. */
  readonly mayBecomeActive: boolean
  /** What only the active instance can answer is handed on to it. */
  readonly asksWriter: boolean
  /** No client can have been told of more than it knows: it writes the journal, or its process does. */
  readonly knowsWholeLog: boolean
  /** Metrics are asked of the database. A sleeping instance has no connections on purpose, a stopped one wants none. */
  readonly asksDatabase: boolean
}

const answers = {
  active: { status: 200, body: { status: "active" } },
  replica: { status: 200, body: { status: "replica" } },
  waiting: { status: 202, body: { status: "waiting" } },
  unwritable: { status: 202, body: { status: "waiting", reason: "storage cannot be written" } },
  starting: { status: 202, body: { status: "starting" } },
  stopping: { status: 503, body: { status: "stopping" } },
  failed: { status: 503, body: { status: "failed" } }
} as const satisfies Record<string, HealthAnswer>

const reader: Abilities = {
  health: answers.waiting,
  refusal: refusals.waiting,
  servesExistingShapes: true,
  createsShapes: false,
  mayAppend: false,
  wakesOnRequest: false,
  mayBecomeActive: true,
  asksWriter: false,
  knowsWholeLog: false,
  asksDatabase: true
}

/** Asked to stop, and nothing takes that back. */
const stopping: Abilities = {
  ...reader,
  health: answers.stopping,
  refusal: refusals.stopping,
  mayBecomeActive: false,
  asksDatabase: false
}

/** What an instance does in each state, in one place. */
export const abilities: Readonly<Record<HealthState, Abilities>> = {
  starting: {
    ...reader,
    health: answers.starting,
    refusal: refusals.starting,
    servesExistingShapes: false
  },
  waiting: reader,
  disconnected: { ...reader, refusal: refusals.disconnected, asksDatabase: false },
  unwritable: { ...reader, health: answers.unwritable, refusal: refusals.unwritable },
  takingOver: { ...reader, health: answers.starting, refusal: refusals.takingOver, mayAppend: true },
  active: {
    ...reader,
    health: answers.active,
    refusal: refusals.active,
    createsShapes: true,
    mayAppend: true,
    knowsWholeLog: true
  },
  replica: {
    ...reader,
    health: answers.replica,
    refusal: refusals.replica,
    mayBecomeActive: false,
    asksWriter: true,
    asksDatabase: false
  },
  asleep: { ...reader, health: answers.active, wakesOnRequest: true, asksDatabase: false },
  releasing: { ...stopping, mayAppend: true, knowsWholeLog: true, asksDatabase: true },
  draining: stopping,
  stopped: { ...stopping, servesExistingShapes: false }
}

/** The instance was asked to stop, and nothing takes that back. */
export const isStopping = (state: HealthState): boolean => abilities[state].refusal.why === "stopping"

/** What an instance says in a state; `failed` where an operator has to mend something before it can become active. */
export const healthAnswer = (state: HealthState, hasFailed: boolean): HealthAnswer => {
  const answer = abilities[state].health
  return hasFailed && answer.status === 202 ? answers.failed : answer
}

/**
 * What a request is told that this instance cannot serve. `why` is what was seen on the way, if it was seen there: it says
 * more than the state, but for one that nothing takes back.
 */
export const refusalOf = (
  state: HealthState,
  hasFailed: boolean,
  why: RefusalReason = "waiting"
): Refusal => {
  const { health, refusal } = abilities[state]
  if (refusal.why === "stopping") return refusal
  if (why !== "waiting") return refusals[why]
  return hasFailed && health.status === 202 ? refusals.failed : refusal
}
