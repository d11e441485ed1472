import type { Socket } from "node:net"
import { Client, type ClientConfig } from "pg"
import { parseLsn, type Database } from "./Cluster.ts"
import { onEnd } from "./Cleanup.ts"
import { eventually, nowMillis } from "./Clock.ts"
import { encodeStatusUpdate } from "../../../src/replication/wire/StatusUpdate.ts"

/**
 * The floors: what Postgres alone gives to a reader that does nothing. `pg` logs in, then its parser is taken off the
 * socket, so that a message costs only the look at its first bytes.
 */
interface RawSession {
  readonly socket: Socket
  readonly query: (sql: string) => void
  readonly close: () => Promise<void>
}

const openRaw = async (url: string, replication: boolean): Promise<RawSession> => {
  const options: ClientConfig & { readonly replication?: "database" } = {
    connectionString: url,
    ...(replication ? { replication: "database" as const } : {})
  }
  const client = new Client(options)
  client.on("error", () => {})
  await client.connect()
  const { stream: socket } = (client as Client & { readonly connection: { readonly stream: Socket } })
    .connection
  socket.removeAllListeners("data")
  const close = onEnd(
    () =>
      new Promise<void>((resolve) => {
        if (socket.destroyed) return resolve()
        socket.once("close", () => resolve())
        socket.end(Buffer.from([0x58, 0, 0, 0, 4]))
        socket.resume()
        setTimeout(() => socket.destroy(), 500).unref()
      })
  )
  return {
    socket,
    query: (sql) => {
      const text = Buffer.from(`${sql}\0`, "utf8")
      const frame = Buffer.allocUnsafe(5 + text.length)
      frame[0] = 0x51 // Q
      frame.writeUInt32BE(4 + text.length, 1)
      text.copy(frame, 5)
      socket.write(frame)
    },
    close
  }
}

/** Calls `take` with the kind and payload of every whole message; returns what feeds it. */
const frames = (
  take: (kind: number, buffer: Buffer, start: number, end: number) => void
): ((data: Buffer) => void) => {
  let rest: Buffer = Buffer.alloc(0)
  return (data) => {
    const buffer = rest.length === 0 ? data : Buffer.concat([rest, data])
    let at = 0
    while (at + 5 <= buffer.length) {
      const end = at + 1 + buffer.readUInt32BE(at + 1)
      if (end > buffer.length) break
      take(buffer[at] ?? 0, buffer, at + 5, end)
      at = end
    }
    rest = buffer.subarray(at)
  }
}

const failure = (buffer: Buffer, start: number, end: number): Error =>
  new Error(`Postgres says: ${buffer.toString("utf8", start, end).replaceAll("\0", " ")}`)

/** Runs `COPY ... TO STDOUT` and throws the rows away. */
export const discardCopy = async (
  database: Database,
  sql: string
): Promise<{ readonly millis: number; readonly rows: number; readonly bytes: number }> => {
  const session = await openRaw(database.url, false)
  try {
    const began = nowMillis()
    let rows = 0
    let bytes = 0
    await new Promise<void>((resolve, reject) => {
      const feed = frames((kind, buffer, start, end) => {
        if (kind === 0x64) {
          rows++
          bytes += end - start
        } else if (kind === 0x45) reject(failure(buffer, start, end))
        else if (kind === 0x5a) resolve()
      })
      session.socket.on("data", feed)
      session.query(sql)
    })
    return { millis: nowMillis() - began, rows, bytes }
  } finally {
    await session.close()
  }
}

/** A reader of a replication slot that looks at the kind of each message and throws it away. */
export interface SlotReader {
  /** Messages of this kind so far: "I", "U", "C" ... */
  readonly count: (kind: "B" | "C" | "I" | "U" | "D") => number
  /** Calls `listener` with the moment at which each commit arrived, and the table that the transaction wrote to last. */
  readonly onCommit: (listener: ((atMillis: number, tableOid: number) => void) | undefined) => void
  /** Resolves when everything before this position has been read. */
  readonly reached: (lsn: bigint) => Promise<void>
  readonly close: () => Promise<void>
}

export const readSlot = async (
  database: Database,
  slot: string,
  publication: string
): Promise<SlotReader> => {
  const session = await openRaw(database.url, true)
  const counts = new Float64Array(128)
  let received = 0n
  let listener: ((atMillis: number, tableOid: number) => void) | undefined
  let tableOid = 0
  let failed: Error | undefined
  const started = Promise.withResolvers<void>()
  let awaited: { readonly lsn: bigint; readonly resolve: () => void } | undefined
  const advance = (lsn: bigint) => {
    received = lsn
    if (awaited === undefined || lsn < awaited.lsn) return
    awaited.resolve()
    awaited = undefined
  }
  const send = () => session.socket.write(encodeStatusUpdate(received, received, Date.now(), false))
  const feed = frames((kind, buffer, start, end) => {
    if (kind === 0x57) started.resolve()
    else if (kind === 0x45) {
      failed = failure(buffer, start, end)
      started.reject(failed)
    } else if (kind === 0x64 && buffer[start] === 0x6b) {
      advance(buffer.readBigUInt64BE(start + 1))
      if (buffer[end - 1] === 1) send()
    } else if (kind === 0x64 && buffer[start] === 0x77) {
      const message = buffer[start + 25] ?? 0
      counts[message] = (counts[message] ?? 0) + 1
      if (message === 0x49) tableOid = buffer.readUInt32BE(start + 26)
      else if (message === 0x43) {
        // Commit: flags, position of the commit record, end of the transaction.
        advance(buffer.readBigUInt64BE(start + 25 + 2 + 8))
        listener?.(nowMillis(), tableOid)
      }
    }
  })
  session.socket.on("data", feed)
  session.query(
    `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${publication}"')`
  )
  await started.promise
  const timer = setInterval(send, 1000)
  timer.unref()
  return {
    count: (kind) => counts[kind.charCodeAt(0)] ?? 0,
    onCommit: (next) => {
      listener = next
    },
    reached: (lsn) =>
      new Promise((resolve) => {
        awaited = { lsn, resolve }
        if (received >= lsn) resolve()
        else send()
      }),
    close: async () => {
      clearInterval(timer)
      send()
      await session.close()
      if (failed !== undefined) throw failed
    }
  }
}

export const createSlot = async (database: Database, slot: string): Promise<void> => {
  await database.run(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`)
}

/** Waits for the slot's reader to be gone. */
export const dropSlot = async (database: Database, slot: string): Promise<void> => {
  await eventually("the slot to be free", 30_000, 20, async () => {
    const [row] = await database.run(`SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`)
    return row?.["active"] === true ? undefined : true
  })
  await database.run(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${slot}'`
  )
}

/** Up to where the reader of a slot has told Postgres that it needs nothing any more. */
export const confirmedLsn = async (database: Database, slot: string): Promise<bigint> => {
  const [row] = await database.run(
    `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`
  )
  return parseLsn(String(row?.["lsn"] ?? "0/0"))
}
