import type { Lsn } from "../../shared/Lsn.ts"

/** Midnight of 2000-01-01 UTC, where Postgres counts time from. */
const postgresEpochMillis = 946_684_800_000

/**
 * A standby status update, wrapped in CopyData: ready for the socket.
 *
 * `durable` goes out as flushed and applied: Postgres may forget everything before it, and a later START_REPLICATION
 * begins with the first transaction whose commit record *ends* after it. The end of a commit record is therefore sent as
 * it is; one byte more could skip a transaction that begins exactly there. `received` only shows in monitoring. Zero
 * means "no news". With `replyRequested` the server answers at once with a keepalive.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol", Standby status update.
 */
export const encodeStatusUpdate = (
  received: Lsn,
  durable: Lsn,
  nowMillis: number,
  replyRequested: boolean
): Buffer => {
  const frame = Buffer.allocUnsafe(39)
  frame[0] = 0x64 // d, CopyData
  frame.writeUInt32BE(38, 1)
  frame[5] = 0x72 // r
  frame.writeBigUInt64BE(received > durable ? received : durable, 6)
  frame.writeBigUInt64BE(durable, 14)
  frame.writeBigUInt64BE(durable, 22)
  frame.writeBigInt64BE(BigInt(Math.round(nowMillis - postgresEpochMillis)) * 1000n, 30)
  frame[38] = replyRequested ? 1 : 0
  return frame
}
