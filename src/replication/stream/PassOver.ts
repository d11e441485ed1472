import { Effect } from "effect"
import { quoteIdentifier, quoteLiteral } from "../../postgres/Identifiers.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { copyData, headerBytes, MessageFramer } from "../../postgres/wire/MessageFramer.ts"
import { malformedCopyData, MalformedMessage } from "../wire/MalformedMessage.ts"
import type { ReplicationSession } from "../connection/ReplicationSession.ts"
import type { StatusSender } from "./StatusSender.ts"
import { streamFailure } from "./StreamPump.ts"

/** A transaction of which nothing is known but that it was there, and what it changed. */
interface PassedTransaction {
  readonly commitLsn: Lsn
  readonly endLsn: Lsn
  readonly xid: number
  readonly commitTimeMicros: bigint
}

export interface PassedOver {
  readonly transactions: ReadonlyArray<PassedTransaction>
  /** Tables that they changed, with their names. */
  readonly relations: ReadonlyMap<number, string>
}

export interface PassOverOptions {
  readonly slotName: string
  readonly publicationName: string
  /** Whether storage lacks the transaction that commits there. */
  readonly isNew: (commitLsn: Lsn) => boolean
  /** Ends with the transaction that commits there; `undefined`: with the first that is new. */
  readonly until: Lsn | undefined
  /** Between positions of the server and these; see `Lsn`. */
  readonly shift: bigint
}

/** What is needed of a message: ids, positions and the name of a table. */
const headBytes = 16 * 1024
const xlogData = 0x77 // w
/** Beside kind and positions of the envelope. */
const contentAt = 25

const letter = (text: string) => text.charCodeAt(0)
const kinds = {
  begin: letter("B"),
  commit: letter("C"),
  relation: letter("R"),
  truncate: letter("T"),
  changes: new Set([letter("I"), letter("U"), letter("D")])
}

/**
 * Reads a transaction that Postgres cannot give out as text, without its values: in binary form and in the encoding of the
 * server nothing is converted. It says which tables the transaction changes and where it ends, so that the rest can go on
 * without it. Fails with what Postgres says if it cannot give that out either. The connection streams afterwards and is of
 * no more use; `status` says the last word on it.
 */
export const passOver = (
  session: ReplicationSession,
  status: StatusSender,
  { isNew, publicationName, shift, slotName, until }: PassOverOptions
): Effect.Effect<PassedOver, PgError> =>
  Effect.callback<PassedOver, PgError>((resume) => {
    const transactions: Array<PassedTransaction> = []
    const names = new Map<number, string>()
    const relations = new Map<number, string>()
    let isDone = false
    let open: Omit<PassedTransaction, "endLsn"> | undefined
    const changed = (oid: number) => relations.set(oid, names.get(oid) ?? `with OID ${oid}`)

    const content = (buffer: Buffer, at: number): void => {
      const kind = buffer[at] ?? 0
      const from = at + 1
      if (kind === kinds.begin) {
        const commitLsn = buffer.readBigUInt64BE(from) + shift
        open = isNew(commitLsn)
          ? {
              commitLsn,
              commitTimeMicros: buffer.readBigInt64BE(from + 8),
              xid: buffer.readUInt32BE(from + 16)
            }
          : undefined
      } else if (kind === kinds.relation) {
        const end = buffer.indexOf(0, from + 4)
        const nameEnd = buffer.indexOf(0, end + 1)
        const name = `${buffer.toString("utf8", from + 4, end)}.${buffer.toString("utf8", end + 1, nameEnd)}`
        names.set(buffer.readUInt32BE(from), name)
      } else if (open === undefined) return
      else if (kinds.changes.has(kind)) changed(buffer.readUInt32BE(from))
      else if (kind === kinds.truncate) {
        const count = buffer.readUInt32BE(from)
        if (from + 5 + 4 * count > buffer.length)
          throw new MalformedMessage({ kind: "Truncate", why: "it names too many tables" })
        for (let i = 0; i < count; i++) changed(buffer.readUInt32BE(from + 5 + 4 * i))
      } else if (kind === kinds.commit) {
        transactions.push({ ...open, endLsn: buffer.readBigUInt64BE(from + 9) + shift })
        if (until !== undefined && open.commitLsn < until) return
        isDone = true
        session.stream.pause()
        resume(Effect.succeed({ transactions, relations }))
      }
    }

    // Messages may be larger than what can be held.
    const framer = new MessageFramer(
      {
        message: (buffer, start, end) => {
          const head = buffer.subarray(start + headerBytes, Math.min(end, start + headerBytes + headBytes))
          if (buffer[start] !== copyData) session.tap.toOriginal(buffer.subarray(start, end))
          // What comes behind it in the same chunk is for the stream that follows.
          else if (!isDone && head[0] === xlogData && head.length > contentAt) content(head, contentAt)
          return true
        },
        chunkEnd: () => true,
        oversized: () => malformedCopyData("it is too large"),
        malformed: malformedCopyData
      },
      Infinity,
      headBytes
    )
    session.onFailure((failure) => resume(Effect.fail(failure)))
    session.tap.attach((chunk) => {
      try {
        framer.push(chunk)
      } catch (error) {
        resume(Effect.fail(streamFailure(error)))
      }
    })
    session.startReplication(
      `START_REPLICATION SLOT ${quoteIdentifier(slotName)} LOGICAL 0/0 ` +
        `(proto_version '1', publication_names ${quoteLiteral(quoteIdentifier(publicationName)).trim()}, binary 'true')`
    )
    return Effect.sync(() => session.stream.pause())
  }).pipe(Effect.ensuring(Effect.sync(() => status.stop())))
