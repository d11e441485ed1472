import { Duplex } from "node:stream"
import { formatLsn, journalLsn, parseLsn, serverLsn, zeroServerLsn } from "../../../src/shared/Lsn.ts"
import { completed, frame, rowOf } from "../../../src/practice/PracticeMessages.ts"
import { encode, type TableMessage } from "../../replication/pgoutput.encoder.ts"
import type {
  CloseReason,
  FakePostgres,
  Peer,
  ServerSession,
  StreamEvent,
  WalTransaction
} from "./FakePostgres.ts"
import type { VirtualTime } from "./VirtualTime.ts"

/** What a packet takes from an instance to the server. Those of the server arrive at once. */
const latencyMillis = 1
/** Above what a world allows a transaction. */
export const tooLargeBytes = 100_000

// Messages of the server. Source: PostgreSQL documentation, "Message Formats".

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`)

const ready = frame("Z", Buffer.from("I"))

const failed = (severity: "ERROR" | "FATAL", code: string, why: string): Buffer =>
  frame("E", text(`S${severity}`), text(`V${severity}`), text(`C${code}`), text(`M${why}`), Buffer.from([0]))

const table = (oid: number): TableMessage => ({
  oid,
  schema: "public",
  name: `t${oid}`,
  replicaIdentity: "f",
  columns: [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
})

/** The server's end of one connection: understands what an instance says to a walsender, and answers in bytes. */
class Walsender {
  private readonly server: FakePostgres
  private readonly session: ServerSession
  private readonly time: VirtualTime
  private arrived = Buffer.alloc(0)
  private hasStarted = false
  /** Tables that this stream has described. */
  private readonly described = new Set<number>()

  constructor(server: FakePostgres, session: ServerSession, time: VirtualTime) {
    this.server = server
    this.session = session
    this.time = time
  }

  receive(bytes: Buffer): void {
    this.arrived = Buffer.concat([this.arrived, bytes])
    while (this.session.alive) {
      const headBytes = this.hasStarted ? 1 : 0
      if (this.arrived.length < headBytes + 4) return
      const end = headBytes + this.arrived.readInt32BE(headBytes)
      if (this.arrived.length < end) return
      const kind = this.hasStarted ? this.arrived.toString("latin1", 0, 1) : "startup"
      const body = this.arrived.subarray(headBytes + 4, end)
      this.arrived = this.arrived.subarray(end)
      this.handle(kind, body)
    }
  }

  private handle(kind: string, body: Buffer): void {
    const { server, session } = this
    if (kind === "startup") {
      this.hasStarted = true
      this.answer(Buffer.concat([frame("R", int32(0)), frame("K", int32(session.pid), int32(1)), ready]))
    } else if (kind === "Q") this.statement(body.toString("utf8", 0, body.length - 1))
    else if (kind === "d") {
      server.acknowledge(session, body.readBigInt64BE(9))
      if (body[33] === 1) server.keepalive(session)
    } else if (kind === "X") server.end(session, "closed")
    else throw new Error(`The simulated server does not know the message ${kind}`)
  }

  private answer(bytes: Buffer): void {
    this.server.tell(this.session, (listener) => listener.answered(bytes))
  }

  private statement(sql: string): void {
    const { server, session } = this
    if (sql.includes("pg_advisory_lock")) return server.waitForLock(session)
    server.heard(session, sql)
    if (sql.startsWith("START_REPLICATION")) {
      const from = journalLsn(parseLsn(/LOGICAL (\S+)/.exec(sql)?.[1] ?? "") ?? zeroServerLsn, 0n)
      if (server.startStream(session, from)) return
      this.answer(failed("ERROR", "55006", "the slot is in use"))
      return this.answer(ready)
    }
    // It exports no snapshot: there are no rows that it could show.
    if (/pg_create_logical_replication_slot|^CREATE_REPLICATION_SLOT/.test(sql)) return this.createSlot()
    if (sql.includes("pg_drop_replication_slot")) {
      server.slot = undefined
      return this.answer(rowOf({ pg_drop_replication_slot: "" }))
    }
    this.answer(this.rows(sql))
  }

  private rows(sql: string): Buffer {
    const { server } = this
    if (sql === "IDENTIFY_SYSTEM")
      return rowOf({ systemid: server.systemId, timeline: String(server.timeline) })
    if (sql.includes("server_version_num"))
      return rowOf({ version: "180000", encoding: "UTF8", timeout: String(server.walSenderTimeoutMillis) })
    if (!sql.includes("pg_replication_slots")) return completed
    const { slot } = server
    if (slot === undefined) return completed
    const seen = {
      plugin: "pgoutput",
      temporary: false,
      ours: true,
      database: "d",
      active_pid: slot.activePid ?? null,
      confirmed_flush_lsn: formatLsn(serverLsn(slot.confirmed, 0n)),
      restart_lsn: formatLsn(serverLsn(slot.confirmed, 0n)),
      wal_status: slot.lost ? "lost" : "reserved",
      invalidation_reason: slot.lost ? "wal_removed" : null,
      wal: formatLsn(serverLsn(server.walEnd, 0n))
    }
    return rowOf({ slot: JSON.stringify(seen) })
  }

  private createSlot(): void {
    const { server, session } = this
    if (!session.alive) return
    if (server.slot !== undefined) {
      this.answer(failed("ERROR", "42710", "the slot exists"))
      return this.answer(ready)
    }
    if (server.canCreateSlot) this.slotCreated(formatLsn(serverLsn(server.createSlot(), 0n)))
    else this.time.after(1, () => this.createSlot())
  }

  private slotCreated(lsn: string): void {
    this.answer(rowOf({ point: lsn, consistent_point: lsn }))
  }

  /** What an event of the stream is in bytes. */
  streamed(event: StreamEvent): Buffer {
    switch (event._tag) {
      case "Started":
        return frame("W", Buffer.from([0]), int16(0))
      case "Keepalive":
        return frame("d", Buffer.from("k"), int64(event.walEnd), int64(0n), Buffer.from([0]))
      case "Transaction":
        return Buffer.concat(
          this.messagesOf(event.transaction).map((content) =>
            frame(
              "d",
              Buffer.from("w"),
              int64(event.transaction.commitLsn),
              int64(event.transaction.endLsn),
              int64(0n),
              content
            )
          )
        )
    }
  }

  private messagesOf({ commitLsn, endLsn, isTooLarge, rows, xid }: WalTransaction): ReadonlyArray<Buffer> {
    const messages = [encode.begin(commitLsn, 0n, xid)]
    for (const { number, table: oid } of rows) {
      if (!this.described.has(oid)) messages.push(encode.relation(table(oid)))
      this.described.add(oid)
      messages.push(encode.insert(oid, [isTooLarge ? "9".repeat(2 * tooLargeBytes) : String(number)]))
    }
    return [...messages, encode.commit(commitLsn, endLsn, 0n)]
  }
}

const farewells: Readonly<Record<CloseReason, Buffer>> = {
  terminated: failed("FATAL", "57P01", "terminating connection due to administrator command"),
  shutdown: failed("FATAL", "57P01", "terminating connection due to administrator command"),
  closed: Buffer.alloc(0)
}

/**
 * A socket between an instance and the simulated server. What the instance writes arrives a little later if the network is
 * there then, or when it is there again, or, if the server has ended the connection by then, never. What the server says
 * comes through network and process.
 */
export class FakeSocket extends Duplex {
  private readonly server: FakePostgres
  private readonly peer: Peer
  private readonly time: VirtualTime
  private readonly onAcknowledge: (lsn: bigint) => void
  private session: ServerSession | undefined
  private backend: Walsender | undefined
  /** Packets on their way, and at last, as undefined, the end. */
  private readonly sent: Array<Buffer | undefined> = []

  constructor(server: FakePostgres, peer: Peer, time: VirtualTime, onAcknowledge: (lsn: bigint) => void) {
    super({ allowHalfOpen: false })
    this.server = server
    this.peer = peer
    this.time = time
    this.onAcknowledge = onAcknowledge
  }

  /** As of `net.Socket`: the addresses mean nothing here. */
  connect(): this {
    this.time.after(latencyMillis, () => this.peer.process.through(() => this.open()))
    return this
  }

  private open(): void {
    const { peer, server } = this
    if (this.destroyed) return
    if (!server.canReach(peer)) {
      this.destroy(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }))
      return
    }
    const session = server.connect(peer)
    const backend = new Walsender(server, session, this.time)
    session.listener = {
      granted: () => this.push(rowOf({ pg_advisory_lock: "" })),
      answered: (bytes) => this.push(bytes),
      stream: (event) => this.push(backend.streamed(event)),
      closed: (reason) => {
        this.push(farewells[reason])
        this.push(null)
      }
    }
    this.session = session
    this.backend = backend
    this.emit("connect")
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: BufferEncoding, written: () => void): void {
    // A status update is a packet of its own, or begins the last one.
    if (bytes[0] === 0x64 && this.session?.state === "streaming") {
      const lsn = bytes.readBigInt64BE(14)
      if (lsn > 0n) this.onAcknowledge(lsn)
    }
    this.send(Buffer.from(bytes))
    written()
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.send(undefined)
    destroyed(error)
  }

  private send(packet: Buffer | undefined): void {
    this.sent.push(packet)
    this.time.after(latencyMillis, () => this.peer.network.through(() => this.arrive()))
  }

  private arrive(): void {
    const packet = this.sent.shift()
    const { backend, session } = this
    if (session === undefined) return
    if (packet === undefined) this.server.end(session, "closed")
    else backend?.receive(packet)
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }
}
