import { Duplex } from "node:stream"
import { Deferred, Effect } from "effect"
import type { DatabaseSnapshot } from "../registry/snapshot/SnapshotTransaction.ts"
import { journalLsn } from "../shared/Lsn.ts"
import { practiceRow, practiceTable } from "./PracticeTable.ts"
import { completed, frame, granted, rowOf, transaction } from "./PracticeMessages.ts"

/** What the transaction takes of the WAL. */
const transactionBytes = 0x100n

/** What `pg_replication_slots` says, as `Slot.ts` asks for it. */
const slotRow = {
  plugin: "pgoutput",
  temporary: false,
  ours: true,
  active_pid: null,
  confirmed_flush_lsn: "0/1",
  restart_lsn: "0/1",
  wal_status: "reserved",
  wal: "0/1"
}

/**
 * A connection in replication mode with nobody at the other end: answers what an instance asks from its first word to its
 * goodbye, and streams one transaction when it is told to.
 */
export class PracticeServer extends Duplex {
  private readonly acknowledged = Deferred.makeUnsafe<void>()
  private hasBegun = false
  private commitLsn: bigint | undefined

  constructor() {
    super({ allowHalfOpen: false })
  }

  /** Completes when the instance has acknowledged what `commit` has streamed. */
  get committed(): Effect.Effect<void> {
    return Deferred.await(this.acknowledged)
  }

  /** Streams the insert of a row of the practice table, in a transaction that this snapshot does not show. */
  commit({ walLsn, xmax }: DatabaseSnapshot): void {
    this.commitLsn = journalLsn(walLsn, 0n) + transactionBytes
    const xid = Number(BigInt.asUintN(32, xmax))
    this.push(transaction(this.commitLsn, xid, practiceTable, practiceRow))
  }

  /** As of `net.Socket`: there is nowhere to connect to. */
  connect(): this {
    setImmediate(() => this.emit("connect"))
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: BufferEncoding, written: () => void): void {
    const answer = this.answerTo(bytes)
    // As a network would: never while the question is still being written.
    if (answer !== undefined)
      setImmediate(() => {
        if (!this.destroyed) this.push(answer)
      })
    written()
  }

  override _final(done: () => void): void {
    this.push(null)
    done()
  }

  private answerTo(bytes: Buffer): Buffer | undefined {
    if (!this.hasBegun) {
      this.hasBegun = true
      return granted
    }
    const kind = bytes.toString("latin1", 0, 1)
    if (kind === "d") this.heard(bytes)
    if (kind !== "Q") return undefined
    return this.statement(bytes.toString("utf8", 5))
  }

  private heard(status: Buffer): void {
    const flushed = status.readBigUInt64BE(14)
    if (this.commitLsn !== undefined && flushed >= this.commitLsn)
      Deferred.doneUnsafe(this.acknowledged, Effect.void)
  }

  private statement(sql: string): Buffer {
    if (sql.startsWith("START_REPLICATION")) return frame("W", Buffer.alloc(3))
    if (sql.startsWith("IDENTIFY_SYSTEM")) return rowOf({ systemid: "1", timeline: "1" })
    if (sql.includes("server_version_num"))
      return rowOf({ version: "180000", encoding: "UTF8", timeout: "60000" })
    if (sql.includes("pg_replication_slots")) return rowOf({ slot: JSON.stringify(slotRow) })
    return completed
  }
}
