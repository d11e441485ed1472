import type { Gate, VirtualTime } from "./VirtualTime.ts"

/** Inserts into one table each; a row is nothing but its number, which no other row of any table has. */
export interface WalTransaction {
  readonly xid: number
  readonly commitLsn: bigint
  readonly endLsn: bigint
  readonly rows: ReadonlyArray<Row>
  /** Nobody can receive it: every stream fails there, until a slot is made that begins after it. */
  readonly isTooLarge: boolean
}

export interface Row {
  readonly table: number
  readonly number: number
}

/** One end of the network, as seen from the server. */
export interface Peer {
  readonly name: string
  /** Shut while the process is frozen. */
  readonly process: Gate
  /** Shut while no packet reaches it, or comes from it. */
  readonly network: Gate
}

export type StreamEvent =
  | { readonly _tag: "Started" }
  | { readonly _tag: "Transaction"; readonly transaction: WalTransaction }
  | { readonly _tag: "Keepalive"; readonly walEnd: bigint }

export type CloseReason = "terminated" | "shutdown" | "closed"

/** What a backend tells its client. Each call reaches it when network and process let it. */
export interface SessionListener {
  readonly granted: () => void
  /** The answer to a statement, in bytes. */
  readonly answered: (bytes: Buffer) => void
  readonly stream: (event: StreamEvent) => void
  readonly closed: (reason: CloseReason) => void
}

type SessionState = "idle" | "waitingForLock" | "streaming"

/** A walsender backend. */
export interface ServerSession {
  readonly pid: number
  readonly peer: Peer
  readonly startedAt: number
  alive: boolean
  state: SessionState
  /** When the server heard of the client last, or changed its state itself. */
  stateChange: number
  lastStatement: string
  /** Everything up to here was sent. */
  sentLsn: bigint
  listener: SessionListener | undefined
  isWatched: boolean
}

interface Slot {
  confirmed: bigint
  activePid: number | undefined
  /** Postgres has removed WAL that it needs. */
  lost: boolean
}

export interface ServerOptions {
  readonly time: VirtualTime
  /** 0: silent clients are never cut off. */
  readonly walSenderTimeoutMillis: number
}

const firstXid = 700

/**
 * A Postgres server, as far as a handover can tell: one advisory lock with its queue, one logical slot with its confirmed
 * position, one publication, the WAL, and walsender backends, which die when the server goes down, when they are
 * terminated, or when their client has been silent for too long. What a backend says to its client goes through the
 * client's network and process, so that it arrives late, all at once, or never.
 */
export class FakePostgres {
  isUp = true
  systemId = "7000"
  timeline = 1
  publication = false
  slot: Slot | undefined
  readonly wal: Array<WalTransaction> = []
  walEnd = 1000n
  readonly sessions = new Map<number, ServerSession>()
  lockHolder: ServerSession | undefined
  readonly lockQueue: Array<ServerSession> = []
  readonly walSenderTimeoutMillis: number
  /** From the beginning of a stream to the first change in it: the server is busy, or has much to decode. */
  decodingMillis = 0
  /** Transactions that are open, or whose commit is in the WAL but not yet visible to snapshots. */
  private readonly inProgress = new Map<number, ReadonlyArray<Row>>()
  private nextPid = 100
  private nextXid = firstXid
  /** The highest transaction id that snapshots show, or could show, as finished. */
  private latestCompletedXid = firstXid - 1
  private readonly time: VirtualTime

  constructor(options: ServerOptions) {
    this.time = options.time
    this.walSenderTimeoutMillis = options.walSenderTimeoutMillis
  }

  // Sessions

  canReach(peer: Peer): boolean {
    return this.isUp && !peer.network.isShut
  }

  connect(peer: Peer): ServerSession {
    const session: ServerSession = {
      pid: this.nextPid++,
      peer,
      startedAt: this.time.now,
      alive: true,
      state: "idle",
      stateChange: this.time.now,
      lastStatement: "",
      sentLsn: 0n,
      listener: undefined,
      isWatched: false
    }
    this.sessions.set(session.pid, session)
    return session
  }

  /** Says something to the client; nothing is said once the session is over. */
  tell(session: ServerSession, say: (listener: SessionListener) => void): void {
    const { peer } = session
    peer.network.through(() =>
      peer.process.through(() => {
        if (session.listener !== undefined) say(session.listener)
      })
    )
  }

  /** The client did something that the server notices. */
  heard(session: ServerSession, statement?: string): void {
    session.stateChange = this.time.now
    if (statement !== undefined) session.lastStatement = statement
    if (session.isWatched || this.walSenderTimeoutMillis === 0) return
    session.isWatched = true
    this.watchSilence(session)
  }

  /** For a client that is alive: when its heartbeat was heard last. */
  heardNow(session: ServerSession): number {
    session.stateChange = this.time.now
    return session.stateChange
  }

  /** `wal_sender_timeout` while it streams, `idle_session_timeout` while it is idle; a statement that runs has no limit. */
  private watchSilence(session: ServerSession): void {
    const { peer } = session
    const left = session.stateChange + this.walSenderTimeoutMillis - this.time.now
    this.time.after(left, () => {
      if (!session.alive) return
      if (!peer.process.isShut && !peer.network.isShut) session.stateChange = this.time.now
      const silentMillis = this.time.now - session.stateChange
      if (silentMillis < this.walSenderTimeoutMillis) this.watchSilence(session)
      else if (session.state === "waitingForLock") session.isWatched = false
      else this.end(session, "terminated")
    })
  }

  /** Ends a backend: its locks are free and its slot inactive at once. */
  end(session: ServerSession, reason: CloseReason): void {
    if (!session.alive) return
    session.alive = false
    this.sessions.delete(session.pid)
    if (this.slot?.activePid === session.pid) this.slot.activePid = undefined
    this.tell(session, (listener) => listener.closed(reason))
    const queued = this.lockQueue.indexOf(session)
    if (queued >= 0) this.lockQueue.splice(queued, 1)
    if (this.lockHolder === session) {
      this.lockHolder = undefined
      this.grantNext()
    }
  }

  /** The client hangs up; the server learns of it if the network is there. */
  hangUp(session: ServerSession): void {
    const { peer } = session
    session.listener = undefined
    if (this.isUp) peer.network.through(() => this.end(session, "closed"))
  }

  terminate(pid: number): boolean {
    const session = this.sessions.get(pid)
    if (session === undefined) return false
    this.end(session, "terminated")
    return true
  }

  /** The process of the peer is killed: the operating system closes its connections. */
  peerDied(peer: Peer): void {
    for (const session of this.sessions.values()) if (session.peer.name === peer.name) this.hangUp(session)
  }

  goDown(): void {
    this.isUp = false
    for (const session of this.sessions.values()) this.end(session, "shutdown")
  }

  comeUp(): void {
    this.isUp = true
  }

  // Lock

  waitForLock(session: ServerSession): void {
    this.heard(session, "SELECT pg_advisory_lock(...)")
    session.state = "waitingForLock"
    this.lockQueue.push(session)
    if (this.lockHolder === undefined) this.grantNext()
  }

  private grantNext(): void {
    const next = this.lockQueue.shift()
    if (next === undefined) return
    this.lockHolder = next
    next.state = "idle"
    this.heard(next)
    this.tell(next, (listener) => listener.granted())
  }

  // Slot and stream

  slotsMade = 0

  /** Postgres makes no slot before every transaction whose commit it leaves out can be seen. */
  get canCreateSlot(): boolean {
    return this.wal.every(({ xid }) => !this.inProgress.has(xid))
  }

  createSlot(): bigint {
    this.slotsMade++
    this.slot = { confirmed: this.walEnd, activePid: undefined, lost: false }
    return this.walEnd
  }

  /** False when another backend streams from the slot. */
  startStream(session: ServerSession, fromLsn: bigint): boolean {
    const { slot } = this
    if (slot === undefined || slot.activePid !== undefined) return false
    slot.activePid = session.pid
    session.state = "streaming"
    this.heard(session, "START_REPLICATION")
    this.tell(session, (listener) => listener.stream({ _tag: "Started" }))
    session.sentLsn = slot.confirmed > fromLsn ? slot.confirmed : fromLsn
    if (this.decodingMillis > 0) this.time.after(this.decodingMillis, () => this.catchUp(session))
    else this.catchUp(session)
    return true
  }

  /** Sends what it has not sent yet. */
  private catchUp(session: ServerSession): void {
    if (!session.alive) return
    for (const transaction of this.wal) {
      if (transaction.endLsn > session.sentLsn)
        this.tell(session, (listener) => listener.stream({ _tag: "Transaction", transaction }))
    }
    session.sentLsn = this.walEnd
    this.keepalive(session)
  }

  keepalive(session: ServerSession): void {
    const walEnd = session.sentLsn
    this.tell(session, (listener) => listener.stream({ _tag: "Keepalive", walEnd }))
  }

  private get streaming(): ServerSession | undefined {
    const pid = this.slot?.activePid
    return pid === undefined ? undefined : this.sessions.get(pid)
  }

  /** The stream that has been sent everything. */
  private get upToDate(): ServerSession | undefined {
    return this.streaming?.sentLsn === this.walEnd ? this.streaming : undefined
  }

  /** A status update. The confirmed position never goes back. */
  acknowledge(session: ServerSession, lsn: bigint): void {
    if (!session.alive || !this.canReach(session.peer)) return
    this.heard(session)
    const { slot } = this
    if (slot !== undefined && slot.activePid === session.pid && lsn > slot.confirmed) slot.confirmed = lsn
  }

  loseSlot(): void {
    if (this.slot === undefined) return
    this.slot.lost = true
    const session = this.streaming
    if (session !== undefined) this.end(session, "terminated")
  }

  // Transactions

  begin(rows: ReadonlyArray<Row>): number {
    const xid = this.nextXid++
    this.inProgress.set(xid, rows)
    return xid
  }

  get openXids(): ReadonlyArray<number> {
    return [...this.inProgress.keys()].filter((xid) => !this.wal.some((written) => written.xid === xid))
  }

  /** Writes the commit record, which the stream has from now on; snapshots show it `visibleAfterMillis` later. */
  commit(xid: number, visibleAfterMillis = 0, isTooLarge = false): WalTransaction {
    const rows = this.inProgress.get(xid) ?? []
    const commitLsn = this.walEnd + 40n
    const transaction = { xid, commitLsn, endLsn: commitLsn + 8n, rows, isTooLarge }
    const { upToDate } = this
    this.walEnd = transaction.endLsn
    this.wal.push(transaction)
    const complete = () => {
      this.inProgress.delete(xid)
      this.latestCompletedXid = Math.max(this.latestCompletedXid, xid)
    }
    if (visibleAfterMillis > 0) this.time.after(visibleAfterMillis, complete)
    else complete()
    if (upToDate !== undefined) this.catchUp(upToDate)
    return transaction
  }

  /** WAL that concerns no published table. */
  writeOtherWal(): void {
    const { upToDate } = this
    this.walEnd += 100n
    if (upToDate !== undefined) this.catchUp(upToDate)
  }

  /** What a snapshot taken now shows. As in Postgres it ends behind the last transaction that has finished. */
  snapshot(): { readonly xmin: bigint; readonly xmax: bigint; readonly xipList: ReadonlyArray<bigint> } {
    const xmax = this.latestCompletedXid + 1
    const running = [...this.inProgress.keys()].filter((xid) => xid < xmax).toSorted((a, b) => a - b)
    return {
      xmin: BigInt(running[0] ?? xmax),
      xmax: BigInt(xmax),
      xipList: running.map(BigInt)
    }
  }

  rowsNow(table: number): ReadonlyArray<number> {
    return this.wal
      .filter(({ xid }) => !this.inProgress.has(xid))
      .flatMap(({ rows }) => rows.filter((row) => row.table === table).map((row) => row.number))
  }
}
