import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { Lsn } from "../../shared/Lsn.ts"

const anotherHistory = (): PgError =>
  ownPgError(
    "another_history",
    "The last change that is stored is not among those that Postgres gives once more: the database was restored from a backup, or " +
      "failed over to a server that lacked it, with the replication slot in it. The slot is created anew, and all shapes are " +
      "compared with the database."
  )

/** A transaction that storage has something of. Its id is not always known. */
interface StoredTransaction {
  readonly lsn: Lsn
  readonly xid: number | undefined
}

interface StoredCommits {
  readonly lastCommitLsn: Lsn
  readonly lastCommitXid: number | undefined
  readonly all: () => Iterable<{ readonly end: { readonly tx: Lsn } }>
}

/**
 * The last commit that shapes have anything of. Those that only shapes with sub-selects have something of are late, and do not
 * count as the last of all.
 */
export const latestCommit = (stored: Pick<StoredCommits, "all" | "lastCommitLsn">): Lsn => {
  let latest = stored.lastCommitLsn
  for (const { end } of stored.all()) if (end.tx > latest) latest = end.tx
  return latest
}

/**
 * Where shapes were compared with the database while the stream went on, their logs end at a place between two commits, which no stream
 * brings. Records of the WAL begin at multiples of eight bytes, those of commits among them, and such places do not.
 * Source: PostgreSQL documentation, "WAL Internals"; `MAXALIGN` in `access/transam/xlog.c`.
 */
const isCommit = (lsn: Lsn, shift: bigint): boolean => (lsn - shift) % 8n === 0n

/** The last transactions that storage has something of, in their order. */
export const lastTransactions = (
  stored: StoredCommits & { readonly shift: bigint }
): ReadonlyArray<StoredTransaction> => {
  const ordinary = { lsn: stored.lastCommitLsn, xid: stored.lastCommitXid }
  let latest = ordinary.lsn
  for (const { end } of stored.all()) if (end.tx > latest && isCommit(end.tx, stored.shift)) latest = end.tx
  return latest > ordinary.lsn ? [ordinary, { lsn: latest, xid: undefined }] : [ordinary]
}

/**
 * Whether the stream goes on from what is stored. Where it begins before the last transactions that storage has something of, it has
 * to bring these again, before anything behind them: positions alone do not tell one history of the database from another.
 */
export class Continuity {
  private awaited: ReadonlyArray<StoredTransaction> = []

  /** The stream brings everything that commits from `lsn` on. `last` are the last transactions of storage, in their order. */
  beginAt(lsn: Lsn, last: ReadonlyArray<StoredTransaction>): void {
    this.awaited = last.filter((one) => lsn <= one.lsn)
  }

  /** All that was to come has come. */
  get isCertain(): boolean {
    return this.awaited.length === 0
  }

  /** A transaction comes. Throws what ends the stream where it cannot follow on what is stored. */
  transaction(lsn: Lsn, xid: number): void {
    const [next] = this.awaited
    if (next === undefined || lsn < next.lsn) return
    if (lsn > next.lsn || (next.xid !== undefined && next.xid !== xid)) throw anotherHistory()
    this.awaited = this.awaited.slice(1)
  }

  /** Everything up to `lsn` has come. */
  received(lsn: Lsn): void {
    const [next] = this.awaited
    if (next !== undefined && lsn > next.lsn) throw anotherHistory()
  }
}
