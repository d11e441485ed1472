import { Context, Effect, Layer, type Scope } from "effect"
import { Warmth } from "../../../src/instance/Warmth.ts"
import { Inspector } from "../../../src/postgres/catalogue/Inspector.ts"
import { ownPgError, type PgError, type PgErrorKind } from "../../../src/postgres/errors/PgError.ts"
import { AdminPool } from "../../../src/postgres/connection/Pools.ts"
import { Publication } from "../../../src/postgres/publication/Publication.ts"
import type { Relation } from "../../../src/postgres/Relation.ts"
import type { SessionPool } from "../../../src/postgres/connection/SessionPool.ts"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"
import { SnapshotFailed } from "../../../src/registry/ShapeRegistry.ts"
import { Snapshotter } from "../../../src/registry/snapshot/Snapshotter.ts"
import { SubsetReader, SubsetUnavailable } from "../../../src/registry/subset/SubsetReader.ts"
import { applicationName } from "../../../src/replication/connection/HolderProtocol.ts"
import type { ReplicationConnection } from "../../../src/replication/stream/ReplicationConnection.ts"
import { ReplicationStream } from "../../../src/replication/ReplicationStream.ts"
import type { StreamOptions } from "../../../src/replication/stream/RunStream.ts"
import { Catalogue, CatalogueUnavailable } from "../../../src/where/index.ts"
import type { FakePostgres, Peer, StreamEvent, WalTransaction } from "./FakePostgres.ts"

/** Mistakes that a test makes parts of an instance run into, each once. */
export class Strikes {
  private readonly waiting = new Map<string, () => void>()
  private readonly armed = new Set<string>()

  private readonly defect = (what: string) => new Error(`struck: ${what}`)

  /** Work that goes on until it is struck. */
  goingOn(what: string): Effect.Effect<never> {
    return Effect.callback<never>((resume) => {
      this.waiting.set(what, () => resume(Effect.die(this.defect(what))))
      return Effect.sync(() => this.waiting.delete(what))
    })
  }

  /** It is under way, or nothing has struck it since it last passed here. */
  isWell(what: string): boolean {
    return this.waiting.has(what)
  }

  /** Throws once after it was struck. */
  pass(what: string): void {
    if (this.armed.delete(what)) throw this.defect(what)
  }

  /** Whatever passes next is struck. */
  arm(what: string): void {
    this.armed.add(what)
  }

  isArmed(what: string): boolean {
    return this.armed.has(what)
  }

  strike(what: string): void {
    const dies = this.waiting.get(what)
    if (dies === undefined) throw new Error(`${what} is not under way`)
    this.waiting.delete(what)
    dies()
  }
}

/** The world as one instance reaches it. */
export interface Reach {
  readonly server: FakePostgres
  readonly peer: Peer
  readonly strikes: Strikes
  /** Called with every position that the instance acknowledges, at that moment. */
  readonly onAcknowledge: (lsn: bigint) => void
}

/** A stream that has heard nothing for so long finds out that its server is gone. */
const deafMillis = 30_000
const snapshotMillis = 4

const pgError = (kind: PgErrorKind) => ownPgError(kind, `made up: ${kind}`)

export const tableInfo = (oid: number): TableInfo => ({
  oid,
  schema: "public",
  name: `t${oid}`,
  kind: "table",
  columns: [
    {
      name: "id",
      attnum: 1,
      typeOid: 20,
      typeName: "int8",
      typeSchema: "pg_catalog",
      typeModifier: -1,
      dimensions: 0,
      typeKind: "b",
      element: undefined,
      baseTypeOid: undefined,
      collationOid: 0,
      notNull: true,
      generated: "no"
    }
  ],
  primaryKey: ["id"],
  ancestorOids: [],
  leafOids: []
})

const relationOf = (oid: number): Relation => ({
  oid,
  schema: "public",
  name: `t${oid}`,
  replicaIdentity: "f",
  columns: [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
})

/** What the client's end of a session has received and not yet dealt with. */
class Inbox {
  readonly events: Array<StreamEvent> = []
  granted = false
  failure: PgError | undefined
  private readonly listeners = new Set<() => void>()

  changed(): void {
    for (const listener of this.listeners) listener()
  }

  /** Fails when the connection is known to be lost. */
  readonly check: Effect.Effect<void, PgError> = Effect.suspend(() =>
    this.failure === undefined ? Effect.void : Effect.fail(this.failure)
  )

  /** Gives what `look` gives as soon as that is something; what has come before a failure is seen first. */
  take<A>(look: () => A | undefined): Effect.Effect<A, PgError> {
    return Effect.callback<A, PgError>((resume) => {
      const attempt = () => {
        const found = look()
        if (found === undefined && this.failure === undefined) return
        this.listeners.delete(attempt)
        resume(found === undefined ? Effect.fail(this.failure ?? pgError("unknown")) : Effect.succeed(found))
      }
      this.listeners.add(attempt)
      attempt()
      return Effect.sync(() => this.listeners.delete(attempt))
    })
  }
}

const deliver = (transaction: WalTransaction, to: StreamOptions["sink"], known: Set<number>) =>
  Effect.gen(function* () {
    to.begin(transaction.commitLsn, transaction.xid, 0n)
    for (const row of transaction.rows) {
      const relation = relationOf(row.table)
      if (!known.has(row.table)) {
        known.add(row.table)
        yield* to.relation(relation) ?? Effect.void
      }
      yield* to.insert(relation, tupleOf([String(row.number)])) ?? Effect.void
    }
    yield* to.commit(transaction.endLsn) ?? Effect.void
  })

const makeConnection = ({
  server,
  peer,
  onAcknowledge
}: Reach): Effect.Effect<ReplicationConnection, PgError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.sleep(1)
    if (!server.canReach(peer)) return yield* pgError("connection_refused")
    const session = server.connect(peer)
    const inbox = new Inbox()
    session.listener = {
      granted: () => {
        inbox.granted = true
        inbox.changed()
      },
      stream: (event) => {
        inbox.events.push(event)
        inbox.changed()
      },
      closed: (reason) => {
        inbox.failure ??= pgError(
          reason === "shutdown" ? "database_server_shutting_down" : "connection_closed"
        )
        inbox.changed()
      }
    }
    server.heard(session, "IDENTIFY_SYSTEM")
    let sink: StreamOptions["sink"] | undefined

    const acknowledge = () => {
      if (sink === undefined || inbox.failure !== undefined) return
      const lsn = sink.durableLsn()
      if (session.alive && server.slot?.activePid === session.pid) onAcknowledge(lsn)
      server.acknowledge(session, lsn)
    }
    const hangUp = Effect.sync(() => {
      if (inbox.failure === undefined) acknowledge()
      inbox.failure ??= pgError("connection_closed")
      server.hangUp(session)
      inbox.changed()
    })
    yield* Effect.addFinalizer(() => hangUp)

    const query = (sql: string): Effect.Effect<ReadonlyArray<never>, PgError> =>
      Effect.gen(function* () {
        yield* inbox.check
        // A statement that nobody answers ends when the connection is found to be lost.
        if (!session.alive || !server.canReach(peer)) yield* inbox.take(() => undefined)
        if (/pg_advisory_lock/.test(sql)) {
          server.waitForLock(session)
          yield* Effect.onInterrupt(
            inbox.take(() => (inbox.granted ? true : undefined)),
            () => hangUp
          )
          return []
        }
        server.heard(session, sql)
        yield* Effect.sleep(1)
        yield* inbox.check
        return []
      })

    const stream = (options: StreamOptions): Effect.Effect<never, PgError> =>
      Effect.gen(function* () {
        sink = options.sink
        const known = new Set<number>()
        if (!session.alive) yield* inbox.take(() => undefined)
        if (!server.startStream(session)) return yield* pgError("replication_slot_in_use")
        while (true) {
          const event = yield* Effect.timeoutOrElse(
            inbox.take(() => inbox.events.shift()),
            {
              duration: deafMillis,
              orElse: () =>
                server.canReach(peer) && session.alive
                  ? Effect.succeed<StreamEvent>({ _tag: "Keepalive", walEnd: 0n })
                  : Effect.fail(pgError("connection_closed"))
            }
          )
          if (event._tag === "Started") yield* options.onStarted
          else if (event._tag === "Keepalive") options.sink.keepalive(event.walEnd)
          else if (event.transaction.isTooLarge) return yield* pgError("exceeded_max_tx_size")
          else yield* deliver(event.transaction, options.sink, known)
          yield* options.sink.batchEnd() ?? Effect.void
          acknowledge()
        }
      })

    return {
      systemId: server.systemId,
      timeline: server.timeline,
      serverVersion: 180000,
      backendPid: session.pid,
      walSenderTimeoutMillis: server.walSenderTimeoutMillis,
      query,
      stream,
      passOver: () => Effect.die(new Error("nothing here cannot be given out")),
      notifyDurable: acknowledge,
      closed: inbox.take<never>(() => undefined),
      close: hangUp
    }
  })

const replicationStream = (reach: Reach) => {
  const { server } = reach
  const options = { slotName: "s", publicationName: "p", maxTransactionBytes: 1e9 }
  return ReplicationStream.of({
    connect: makeConnection(reach),
    ensureSlot: (connection) =>
      Effect.gen(function* () {
        yield* connection.query("SELECT slot")
        while (server.slot === undefined) {
          if (server.canCreateSlot) return { created: true, confirmedFlushLsn: server.createSlot() }
          yield* connection.query("SELECT wait")
        }
        const { slot } = server
        if (slot.lost) return yield* pgError("database_slot_exceeded_max_size")
        return { created: false, confirmedFlushLsn: slot.confirmed }
      }),
    passOver: (connection, passOptions) => connection.passOver({ ...options, ...passOptions }),
    dropSlot: (connection) =>
      Effect.andThen(
        connection.query("SELECT drop"),
        Effect.sync(() => (server.slot = undefined))
      ),
    stream: (connection, streamOptions) => connection.stream({ ...options, ...streamOptions })
  })
}

/** What a look at the catalogue finds: tables and the publication are always as they were. */
const looked = (sql: string, [oids]: ReadonlyArray<unknown>, hasPublication: boolean) => {
  const snapshot = "1:1:"
  if (!sql.includes("WITH RECURSIVE wanted")) return { snapshot, version: null }
  const tables = String(oids)
    .replaceAll(/[{}]/g, "")
    .split(",")
    .filter(Boolean)
    .map((oid) => `${oid}:same:1`)
  return {
    snapshot,
    version: "same",
    around: null,
    found: `${tables.join(" ")};;${hasPublication ? "1/1:t" : ""}`
  }
}

/** Answers the two statements of the lock breaker, and looks at the catalogue; everything else gets no rows. */
const adminPool = ({ server, peer }: Reach): SessionPool => {
  const query = (sql: string, params: ReadonlyArray<unknown> = []) =>
    Effect.gen(function* () {
      yield* Effect.sleep(1)
      if (!server.canReach(peer)) return yield* pgError("connection_refused")
      if (sql.includes("pg_current_snapshot")) return [looked(sql, params, server.publication)]
      const holder = server.lockHolder
      const seen =
        holder === undefined
          ? undefined
          : {
              pid: String(holder.pid),
              backend_start: String(holder.startedAt),
              application_name: holder.peer.name.startsWith("foreign") ? "other" : applicationName,
              is_walsender: true,
              state: holder.state === "streaming" ? "active" : "idle",
              state_change: String(
                holder.peer.process.isShut || holder.peer.name.startsWith("foreign")
                  ? holder.stateChange
                  : server.heardNow(holder)
              ),
              query: holder.lastStatement
            }
      if (/pg_terminate_backend/.test(sql)) {
        const [start, change] = params
        const same =
          seen !== undefined &&
          sql.includes(`a.pid = ${seen.pid} `) &&
          seen.backend_start === start &&
          seen.state_change === change
        return same ? [{ done: server.terminate(Number(seen.pid)) }] : []
      }
      if (/slot_active/.test(sql)) {
        const { slot } = server
        return [
          { slot_active: slot?.activePid !== undefined, has_slot: slot !== undefined, pid: null, ...seen }
        ]
      }
      return []
    })
  return {
    size: 1,
    // The fake knows what rows its statements have.
    query: query as SessionPool["query"],
    transaction: () => Effect.die(new Error("no transactions here"))
  }
}

const publication = ({ server, peer, strikes }: Reach) =>
  Publication.of({
    ensureExists: Effect.gen(function* () {
      yield* Effect.sleep(1)
      if (!server.canReach(peer)) return yield* pgError("connection_refused")
      const created = !server.publication
      server.publication = true
      return { created, repaired: false }
    }),
    ensureTable: () => Effect.succeed({ altered: false }),
    settle: () => Effect.void,
    publish: () => Effect.sleep(1),
    trust: () => strikes.pass("trust"),
    tablesChanged: () => {},
    reconcile: () => Effect.die(new Error("not asked here")),
    run: () => strikes.goingOn("publication")
  })

const inspector = ({ strikes }: Reach): Inspector["Service"] => ({
  table: (_schema, name) => Effect.succeed(tableInfo(Number(name.slice(1)))),
  whyAbsent: () => Effect.succeed(undefined),
  tableNow: (_schema, name) => Effect.succeed(tableInfo(Number(name.slice(1)))),
  tableByOid: (oid) => Effect.succeed(tableInfo(oid)),
  remembered: (_schema, name) => tableInfo(Number(name.slice(1))),
  serverVersionNum: () => {
    strikes.pass("serverVersion")
    return 180000
  },
  isFresh: () => true,
  all: () => [],
  restore: () => {},
  invalidate: () => {},
  readAgain: () => Effect.sync(() => strikes.pass("readAgain")),
  refresh: Effect.sync(() => {
    strikes.pass("refresh")
    return []
  }),
  onChange: () => Effect.void
})

const rowMessage = (table: number, number: number): string =>
  `{"key":"t${table}/${number}","value":{"id":"${number}"},"headers":{"operation":"insert"}}`

const unavailable = new SnapshotFailed({ kind: "unavailable", message: "made up: no database" })

/** Takes time, so that things happen meanwhile; needs the database all the while. */
const snapshotter = ({ server, peer }: Reach) =>
  Snapshotter.of({
    run: ({ definition, onSnapshot, sink }) =>
      Effect.gen(function* () {
        const reach = Effect.andThen(
          Effect.sleep(snapshotMillis),
          Effect.suspend(() => (server.canReach(peer) ? Effect.void : Effect.fail(unavailable)))
        )
        yield* reach
        let snapshot = server.snapshot()
        let rows = server.rowsNow(definition.table.oid)
        while (
          (yield* onSnapshot({ ...snapshot, walLsn: server.walEnd, containedBefore: server.walEnd })) ===
          "retry"
        ) {
          yield* reach
          snapshot = server.snapshot()
          rows = server.rowsNow(definition.table.oid)
        }
        for (const [index, number] of rows.entries()) {
          yield* sink.write(Buffer.from(`${index > 0 ? "," : ""}${rowMessage(definition.table.oid, number)}`))
        }
        yield* reach
        yield* sink.write(Buffer.from(`${rows.length > 0 ? "," : ""}{"headers":{"control":"snapshot-end"}}`))
        yield* sink.end()
      })
  })

export type FakeServices =
  ReplicationStream | AdminPool | Publication | Inspector | Warmth | Snapshotter | SubsetReader | Catalogue

export const fakeServices = (reach: Reach): Layer.Layer<FakeServices> =>
  Layer.succeedContext(
    Context.make(ReplicationStream, replicationStream(reach)).pipe(
      Context.add(AdminPool, adminPool(reach)),
      Context.add(Publication, publication(reach)),
      Context.add(Inspector, inspector(reach)),
      Context.add(Warmth, { keep: reach.strikes.goingOn("warmth") }),
      Context.add(Snapshotter, snapshotter(reach)),
      Context.add(SubsetReader, {
        read: () => Effect.fail(new SubsetUnavailable({ message: "no subsets here" }))
      }),
      Context.add(Catalogue, {
        loaded: () => {
          reach.strikes.pass("loaded")
          return undefined
        },
        get: Effect.fail(new CatalogueUnavailable({ message: "no conditions here", cause: undefined })),
        reload: Effect.fail(new CatalogueUnavailable({ message: "no conditions here", cause: undefined })),
        renewed: Effect.fail(new CatalogueUnavailable({ message: "no conditions here", cause: undefined }))
      })
    )
  )
