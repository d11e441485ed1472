import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import { Effect, type Scope } from "effect"

/** What SQLite keeps in memory; the rest stands in the file. */
const cacheKib = 48 * 1024

/**
 * The rows that readers hold at the end of their shapes' logs, by shape and key, in a file that is gone with the scope: memory
 * is bounded however many they are. A row is what its owner makes of it. Each has the number of the look that has found it in
 * the database, so that those which no look has found can be told.
 */
export class HeldRows {
  private readonly db: DatabaseSync
  private readonly find: StatementSync
  private readonly place: StatementSync
  private readonly erase: StatementSync
  private readonly mark: StatementSync
  private readonly unfound: StatementSync

  private constructor(db: DatabaseSync) {
    this.db = db
    this.find = db.prepare("SELECT row FROM held WHERE shape = ? AND key = ?")
    this.place = db.prepare("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)")
    this.erase = db.prepare("DELETE FROM held WHERE shape = ? AND key = ?")
    this.mark = db.prepare("UPDATE held SET look = ? WHERE shape = ? AND key = ? RETURNING row")
    this.unfound = db.prepare("SELECT key, row FROM held WHERE shape = ? AND look < ? ORDER BY key")
  }

  /** Fails where no temporary file can be made. */
  static readonly make: Effect.Effect<HeldRows, HeldRowsFailed, Scope.Scope> = Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          const directory = mkdtempSync(join(tmpdir(), "baton-held-"))
          const db = new DatabaseSync(join(directory, "rows.sqlite"))
          // Nobody reads it after a crash, so nothing has to be safe.
          db.exec(
            `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA cache_size = -${cacheKib};
             CREATE TABLE held (shape INTEGER, key TEXT, row BLOB, look INTEGER, PRIMARY KEY (shape, key)) WITHOUT ROWID;
             BEGIN`
          )
          return { db, directory }
        },
        catch: (cause) => new HeldRowsFailed(cause)
      }),
      ({ db, directory }) =>
        Effect.sync(() => {
          db.close()
          rmSync(directory, { recursive: true, force: true })
        })
    ),
    ({ db }) => new HeldRows(db)
  )

  /** Of no shape. */
  clear(): void {
    this.db.exec("DELETE FROM held")
  }

  get(shape: number, key: string): Uint8Array | undefined {
    return rowOf(this.find.get(shape, key))
  }

  put(shape: number, key: string, row: Uint8Array, look = 0): void {
    this.place.run(shape, key, row, look)
  }

  remove(shape: number, key: string): void {
    this.erase.run(shape, key)
  }

  /** The row that is held, if one is, which a look has found. */
  found(shape: number, key: string, look: number): Uint8Array | undefined {
    return rowOf(this.mark.get(look, shape, key))
  }

  /** Those that no look from this one on has found, in the order of their keys. Nothing may be changed meanwhile. */
  notFound(shape: number, look: number): Iterable<{ readonly key: string; readonly row: Uint8Array }> {
    return this.unfound.iterate(shape, look) as unknown as Iterable<{ key: string; row: Uint8Array }>
  }
}

/** There is no room for the rows that shapes hold. */
export class HeldRowsFailed {
  readonly _tag = "HeldRowsFailed"
  readonly message: string
  constructor(cause: unknown) {
    this.message = `no temporary file could be made in ${tmpdir()}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

const rowOf = (found: unknown): Uint8Array | undefined =>
  (found as { readonly row: Uint8Array } | undefined)?.row
