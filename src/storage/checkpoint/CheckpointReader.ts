import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { setImmediate as nextTurn } from "node:timers/promises"
import type { DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { withCopy } from "./CheckpointCopy.ts"
import { pageFormat } from "./CheckpointPage.ts"
import { textChecksum, type TextRow } from "./CheckpointRow.ts"
import { internDefinition } from "../../shapes/InternDefinition.ts"
import { unsaidLevel } from "../levels/Levels.ts"
import {
  CheckpointError,
  checkpointFiles,
  type CheckpointHead,
  failing,
  openMeta,
  type StoredHead
} from "./CheckpointFile.ts"
import { decodeSource } from "../records/StoredSource.ts"
import type { KnownShapes } from "../state/KnownShapes.ts"
import { readPages } from "./ReadPages.ts"
import { readRows } from "./ReadRows.ts"
import { ReadShapes } from "./ReadShapes.ts"
import type { ShapeStore } from "../state/ShapeStore.ts"
import { type StorageFault, fromDisk } from "../disk/DiskFault.ts"
import { readShapeNames } from "./ShapeNames.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import { nowMillis } from "../../shared/Timers.ts"
import { checkpointPatienceMillis, checkpointPauseMillis, checkpointRetries } from "../StorageTimings.ts"

/** Rows read before other work gets its turn. */
const rowsPerTurn = 500

/** SQLite result codes. Source: SQLite documentation, "Result and Error Codes". */
const sqliteBusy = 5
const sqliteReadonlyRollback = 776
/** The file is shorter than its header says. */
const sqliteShortRead = 522
/** SQLITE_NOMEM, SQLITE_IOERR, SQLITE_CANTOPEN: not what damage looks like. */
const passingResults: ReadonlySet<number> = new Set([7, 10, 14])

/**
 * Fills an empty store from the newest whole checkpoint and returns its head; `undefined` when there is none. A file
 * that cannot be read is reported and the one before it used; shapes whose row is damaged are named and left out. What is
 * to be said goes through `report`: the default log of a promise is not that of the service.
 * Writes nothing.
 */
export const loadCheckpoint = (
  paths: StoragePaths,
  store: ShapeStore,
  chunkBytesThreshold: number,
  report: (line: Effect.Effect<void>) => void
): Effect.Effect<CheckpointHead | undefined, StorageFault> =>
  Effect.gen(function* () {
    for (const path of yield* fromDisk(() => checkpointFiles(paths))) {
      const loaded = yield* readPatiently(
        contentOf(paths, path, chunkBytesThreshold),
        checkpointRetries,
        checkpointPauseMillis
      ).pipe(
        Effect.mapError(failing("read", path)),
        Effect.catch((error) =>
          Effect.sync(() =>
            report(
              reportFault(
                "BATON-STORAGE-DAMAGED",
                `${error.message}. An older checkpoint, or the journal alone, is used instead.`
              )
            )
          )
        )
      )
      if (loaded === undefined) continue
      const { head, known } = loaded
      store.reachLevel(head.level ?? unsaidLevel)
      if (loaded.damaged.length + loaded.missing > 0) {
        const names = yield* fromDisk(() => readShapeNames(paths)).pipe(
          Effect.orElseSucceed(() => new Set<string>())
        )
        report(reportFault("BATON-STORAGE-DAMAGED", whatIsLost(path, loaded, names)))
      }
      store.fill(known)
      store.nextId = Math.max(store.nextId, head.nextId)
      store.lastCommitLsn = BigInt(head.lastCommitLsn)
      store.positionLsn = BigInt(head.positionLsn)
      store.behindLsn = head.behindLsn === undefined ? undefined : BigInt(head.behindLsn)
      for (const id of head.lateIds ?? []) store.lateIds.add(id)
      store.source = head.source === null ? undefined : decodeSource(head.source)
      for (const gap of head.lost ?? []) store.lostHistory.add(gap)
      return head
    }
    return undefined
  })

const whatIsLost = (
  path: string,
  { damaged, known, missing }: Content,
  names: ReadonlySet<string>
): string => {
  const named = damaged.length === 0 ? "" : ` Damaged: ${damaged.join(", ")}.`
  const present = new Set([...damaged, ...Array.from(known.all(), ({ handle }) => handle)])
  const absent = [...names].filter((name) => !present.has(name))
  const which = absent.length === 0 ? "" : `: ${absent.join(", ")}`
  const unnamed = missing === 0 ? "" : ` ${missing} more cannot be found${which}.`
  return `The checkpoint ${path} is damaged, and shapes are lost with it.${named}${unnamed} Their clients fetch them again; nothing is to be done, but check the disk.`
}

/** An error of the disk, or of this process, that may not come again. What is read and is wrong stays wrong. */
const isPassing = (error: unknown): boolean => {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: number }
  if (error instanceof CheckpointError) return true
  if (errcode === sqliteShortRead) return false
  if (errcode !== undefined) return passingResults.has(errcode & 0xff)
  return typeof code === "string" && code.startsWith("E") && !code.startsWith("ERR_")
}

/** A checkpoint that is passed over costs its shapes, so one error of a disk is no reason for that. */
const readPatiently = (
  reading: Effect.Effect<Content | undefined, unknown>,
  retries: number,
  delayMillis: number
): Effect.Effect<Content | undefined, unknown> =>
  Effect.catch(reading, (error) =>
    retries === 0 || !isPassing(error)
      ? Effect.fail(error)
      : Effect.andThen(Effect.sleep(delayMillis), readPatiently(reading, retries - 1, 2 * delayMillis))
  )

interface Content {
  readonly head: CheckpointHead
  readonly known: KnownShapes
  /** Handles of shapes whose row is not what was written; they are left out. */
  readonly damaged: ReadonlyArray<string>
  /** Shapes that should be there and whose row is not found. */
  readonly missing: number
}

/**
 * Waits while the file is being written. Where its writer died in the middle of that, SQLite has to take the half of it
 * back, for which it writes: into a copy, because the file may be another instance's by now. Where the file system is not
 * this machine's own, locks do not tell either, and it is a copy in any case.
 */
const contentOf = (
  paths: StoragePaths,
  path: string,
  chunkBytesThreshold: number
): Effect.Effect<Content | undefined, unknown> =>
  Effect.gen(function* () {
    const { disk } = paths
    const inCopy = withCopy(disk, path, (copy) => readIn(copy, chunkBytesThreshold, false))
    if (disk.mayBeLate) return yield* inCopy
    const began = yield* nowMillis
    while (true) {
      const read = yield* Effect.result(readIn(path, chunkBytesThreshold, true))
      if (read._tag === "Success") return read.success
      const code = (read.failure as { readonly errcode?: number }).errcode ?? 0
      const isBusy = (code & 0xff) === sqliteBusy
      if (isBusy && (yield* nowMillis) - began < checkpointPatienceMillis)
        yield* Effect.sleep(checkpointPauseMillis)
      else if (isBusy || code === sqliteReadonlyRollback) return yield* inCopy
      else return yield* Effect.fail(read.failure)
    }
  })

const readIn = (
  path: string,
  chunkBytesThreshold: number,
  readonly: boolean
): Effect.Effect<Content | undefined, unknown> =>
  Effect.scoped(
    Effect.flatMap(openMeta(path, { readonly }), ({ db }) =>
      Effect.tryPromise({ try: () => readAll(db, chunkBytesThreshold), catch: (cause) => cause })
    )
  )

/** Other work gets its turn meanwhile: a client that asks for this instance's health is not to wait for a hundred thousand shapes. */
const readAll = async (db: DatabaseSync, chunkBytesThreshold: number): Promise<Content | undefined> => {
  db.exec("BEGIN")
  const [stored] = textRows(db, "SELECT key AS id, value AS text, crc FROM head")
  if (stored === undefined) {
    // One that was begun and not finished holds nothing at all.
    if (holdsShapes(db)) throw new Error("its head is missing")
    return undefined
  }
  if (isDamaged(stored)) throw new Error("its head is damaged")
  const { pages, shapes: count, ...head } = JSON.parse(stored.text) as StoredHead
  if (pages !== undefined && pages !== pageFormat)
    throw new Error(`its pages have format ${pages}, and this release knows ${pageFormat} alone`)
  const definitions = new Map<number, ShapeDefinition>()
  for (const row of textRows(db, "SELECT id, json AS text, crc FROM definitions")) {
    if (!isDamaged(row)) definitions.set(row.id, internDefinition(JSON.parse(row.text) as ShapeDefinition))
  }
  const read = new ReadShapes(definitions, chunkBytesThreshold)
  read.known.expect(count)
  let sinceTurn = 0
  for (const shapes of pages === undefined ? readRows(db, read) : readPages(db, read)) {
    sinceTurn += shapes
    if (sinceTurn < rowsPerTurn) continue
    sinceTurn = 0
    await nextTurn()
  }
  const { damaged, known } = read
  const missing = Math.max(0, count - known.count - damaged.size)
  return { head, known, damaged: [...damaged], missing }
}

const holdsShapes = (db: DatabaseSync): boolean =>
  db
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('shapes', 'pages')")
    .all()
    .some(({ name }) => db.prepare(`SELECT 1 FROM ${String(name)} LIMIT 1`).get() !== undefined)

const textRows = (db: DatabaseSync, query: string): ReadonlyArray<TextRow> =>
  db.prepare(query).all() as unknown as ReadonlyArray<TextRow>

const isDamaged = (row: TextRow): boolean =>
  typeof row.text !== "string" || textChecksum(row.id, row.text) !== row.crc
