import { Deferred, Effect, Exit, type Fiber } from "effect"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import { NotActive, type ShapeRegistry, SnapshotFailed } from "../../../src/registry/ShapeRegistry.ts"
import { compareOffsets, type LogOffset, snapshotChunk, snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { type ShapeDefinition, shapeIdentity } from "../../../src/shapes/ShapeDefinition.ts"
import type { Dropped, LogRead, LogSlice, ShapeHandle, ShapeLogs } from "../../../src/storage/ShapeLogs.ts"
import type { WakeReason } from "../../../src/storage/state/Waiters.ts"

interface Entry {
  readonly offset: LogOffset
  readonly json: string
}

interface Stored {
  readonly shape: ShapeHandle & { dropped: Dropped }
  readonly identity: string
  readonly chunks: Array<string>
  readonly entries: Array<Entry>
  readable: boolean
  waiters: Set<Deferred.Deferred<WakeReason>>
}

/**
 * Shapes in memory, with the reading rules of the real log. Lets HTTP tests say what storage holds and how the
 * registry answers; what storage itself does is tested elsewhere.
 */
export class FakeStore {
  readonly tables = new Map<string, TableInfo>()
  readonly shapes = new Map<string, Stored>()
  /** Undefined: creation works. Otherwise what `getOrCreate` fails with. */
  creationFails: NotActive | SnapshotFailed | undefined
  /** How often creation fails like that; afterwards it works. */
  failures = Infinity
  catalogueDown = false
  /** Tables that are not what is remembered of them, and how often the catalogue was asked. */
  readonly tablesNow = new Map<string, TableInfo | "gone">()
  catalogueReads = 0
  /** Entries are served as a stream of pieces of this size instead of one buffer. */
  pieceBytes: number | undefined
  lastSeen = 100n
  /** What shapes have where that is not everything up to `lastSeen`; `catchUp` ends it. */
  behind: bigint | undefined
  /** What `settle` says. */
  knowsAllTold = true
  private readonly late = new Set<Deferred.Deferred<void>>()
  /** How often a shape is dropped in the moment in which it is about to be read. */
  dropsBeforeRead = 0
  created = 0
  touched = 0
  lookups = 0
  waiting = 0
  /** Runs what waits, by the clock of the test. */
  run: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A> = Effect.runFork
  private nextId = 1

  /** Snapshot chunks of the next shapes to be created. */
  snapshot: ReadonlyArray<ReadonlyArray<string>> = [
    [
      '{"key":"k1","value":{"id":"1"},"headers":{"operation":"insert"}}',
      '{"headers":{"control":"snapshot-end"}}'
    ]
  ]

  create(definition: ShapeDefinition): ShapeHandle {
    const id = this.nextId++
    const shape: Stored["shape"] = {
      id,
      handle: `${1000 + id}-${1_700_000_000_000_000 + id}`,
      definition,
      dropped: false
    }
    this.shapes.set(shape.handle, {
      shape,
      identity: shapeIdentity(definition),
      chunks: this.snapshot.map((rows) => rows.join(",")),
      entries: [],
      readable: true,
      waiters: new Set()
    })
    this.created++
    return shape
  }

  /** Logs one transaction with an operation for each message, two apart. */
  append(handle: string, tx: bigint, messages: ReadonlyArray<string>): void {
    const stored = this.shapes.get(handle)
    if (stored === undefined) throw new Error(`no shape ${handle}`)
    messages.forEach((json, i) => stored.entries.push({ offset: { tx, op: i * 2 }, json }))
    if (tx > this.lastSeen) this.lastSeen = tx
    this.wake(stored, "changed")
  }

  catchUp(): void {
    this.behind = undefined
    for (const waiter of this.late) Deferred.doneUnsafe(waiter, Effect.void)
    this.late.clear()
  }

  drop(handle: string, dropped: Dropped = "gone"): boolean {
    const stored = this.shapes.get(handle)
    if (stored === undefined) return false
    stored.shape.dropped = dropped
    this.shapes.delete(handle)
    this.wake(stored, "dropped")
    return true
  }

  private wake(stored: Stored, reason: "changed" | "dropped"): void {
    const waiters = stored.waiters
    stored.waiters = new Set()
    for (const waiter of waiters) Deferred.doneUnsafe(waiter, Effect.succeed(reason))
  }

  private last(stored: Stored): LogOffset {
    return stored.entries.at(-1)?.offset ?? snapshotEnd
  }

  private body(text: string): LogSlice["body"] {
    const bytes = Buffer.from(text)
    const size = this.pieceBytes
    if (size === undefined) return bytes
    return async function* (buffer) {
      for (let at = 0; at < bytes.length;) {
        const into = buffer ?? Buffer.alloc(size)
        const length = bytes.copy(into, 0, at, Math.min(at + size, at + into.length))
        yield into.subarray(0, length)
        buffer?.fill(0)
        at += length
      }
    }
  }

  private read(handle: string, after: LogOffset): LogRead {
    if (this.dropsBeforeRead > 0) {
      this.dropsBeforeRead--
      this.drop(handle)
    }
    const stored = this.shapes.get(handle)
    if (stored === undefined) return { _tag: "Dropped" }
    const chunk = after.tx < 0n ? 0 : after.tx === 0n && after.op !== Infinity ? after.op + 1 : Infinity
    const text = stored.chunks[chunk]
    if (text !== undefined)
      return {
        _tag: "Slice",
        next: snapshotChunk(chunk),
        upToDate: false,
        body: this.body(text),
        finishedBytes: Buffer.byteLength(text)
      }
    const last = this.last(stored)
    const from = after.tx === 0n ? snapshotEnd : after
    if (compareOffsets(from, last) > 0) return { _tag: "Ahead" }
    const entries = stored.entries.filter((entry) => compareOffsets(entry.offset, from) > 0)
    return {
      _tag: "Slice",
      next: last,
      upToDate: true,
      body: entries.length === 0 ? Buffer.alloc(0) : this.body(entries.map((entry) => entry.json).join(","))
    }
  }

  readonly logs: ShapeLogs["Service"] = {
    byHandle: (handle) => {
      this.lookups++
      return this.shapes.get(handle)?.shape
    },
    byIdentity: (identity) => {
      this.lookups++
      for (const stored of this.shapes.values()) if (stored.identity === identity) return stored.shape
      return undefined
    },
    count: () => this.shapes.size,
    isReadable: (shape) => this.shapes.get(shape.handle)?.readable === true,
    firstOffset: () => snapshotChunk(0),
    lastOffset: (shape) => {
      const stored = this.shapes.get(shape.handle)
      return stored === undefined ? snapshotEnd : this.last(stored)
    },
    read: (shape, after) => Effect.sync(() => this.read(shape.handle, after)),
    readNow: (shape, after) => (this.pieceBytes === undefined ? this.read(shape.handle, after) : undefined),
    watch: (shape, after, timeoutMillis, watcher) => {
      const stored = this.shapes.get(shape.handle)
      if (stored === undefined) return "dropped"
      if (compareOffsets(this.last(stored), after) > 0) return "changed"
      const waiter = Deferred.makeUnsafe<WakeReason>()
      stored.waiters.add(waiter)
      this.waiting++
      const woken = Deferred.await(waiter).pipe(
        Effect.timeoutOrElse({
          duration: timeoutMillis,
          orElse: () => Effect.succeed<WakeReason>("timeout")
        }),
        Effect.ensuring(
          Effect.sync(() => {
            this.waiting--
            stored.waiters.delete(waiter)
          })
        )
      )
      const fiber = this.run(woken)
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit)) watcher.woken(exit.value)
      })
      return { stop: () => fiber.interruptUnsafe() }
    },
    lastSeenLsn: () => this.behind ?? this.lastSeen,
    caughtUp: (_, timeoutMillis) => {
      if (this.behind === undefined) return undefined
      const waiter = Deferred.makeUnsafe<void>()
      this.late.add(waiter)
      return Effect.asVoid(Effect.timeoutOption(Deferred.await(waiter), timeoutMillis))
    }
  }

  readonly registry: ShapeRegistry["Service"] = {
    getOrCreate: (definition) =>
      Effect.suspend(() => {
        const existing = this.logs.byIdentity(shapeIdentity(definition))
        if (existing !== undefined && this.logs.isReadable(existing)) return Effect.succeed(existing)
        return this.creationFails === undefined || this.failures-- <= 0
          ? Effect.succeed(this.create(definition))
          : Effect.fail(this.creationFails)
      }),
    drop: (handle) =>
      Effect.suspend(() =>
        this.creationFails instanceof NotActive
          ? Effect.fail(this.creationFails)
          : Effect.succeed(this.drop(handle))
      ),
    touch: () => {
      this.touched++
    },
    settle: Effect.sync(() => this.knowsAllTold)
  }
}
