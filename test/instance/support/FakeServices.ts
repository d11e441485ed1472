import { Context, Effect, Layer } from "effect"
import type { Config } from "../../../src/config/BatonConfig.ts"
import { Warmth } from "../../../src/instance/duties/Warmth.ts"
import { Inspector } from "../../../src/postgres/catalogue/Inspector.ts"
import { ownPgError, type PgErrorKind } from "../../../src/postgres/errors/PgError.ts"
import { AdminPool } from "../../../src/postgres/connection/Pools.ts"
import { Publication } from "../../../src/postgres/publication/Publication.ts"
import type { SessionPool } from "../../../src/postgres/connection/SessionPool.ts"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import { column, table as tableOf } from "../../../testing/postgres/TableInfos.ts"
import { SnapshotFailed } from "../../../src/registry/ShapeRegistry.ts"
import { SnapshotSessions } from "../../../src/registry/snapshot/SnapshotSessions.ts"
import { Snapshotter } from "../../../src/registry/snapshot/Snapshotter.ts"
import { SubsetReader, SubsetUnavailable } from "../../../src/registry/subset/SubsetReader.ts"
import { applicationName } from "../../../src/replication/connection/HolderProtocol.ts"
import { ReplicationStream } from "../../../src/replication/ReplicationStream.ts"
import { Catalogue, CatalogueUnavailable } from "../../../src/where/index.ts"
import type { FakePostgres, Peer } from "./FakePostgres.ts"
import { FakeSocket } from "./FakeWalsender.ts"
import type { VirtualTime } from "./VirtualTime.ts"
import { serverLsn } from "../../../src/shared/Lsn.ts"

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
  readonly time: VirtualTime
  /** Called with every position that the instance acknowledges, at that moment. */
  readonly onAcknowledge: (lsn: bigint) => void
}

const snapshotMillis = 4

const pgError = (kind: PgErrorKind) => ownPgError(kind, `made up: ${kind}`)

export const tableInfo = (oid: number): TableInfo =>
  tableOf([column("id", { typeOid: 20, typeName: "int8", notNull: true })], {
    oid,
    name: `t${oid}`,
    primaryKey: ["id"]
  })

/** What a look at the catalogue finds: tables and the publication are always as they were. */
const looked = (sql: string, [oids]: ReadonlyArray<unknown>, hasPublication: boolean) => {
  const snapshot = "1:1:"
  if (!sql.includes("WITH RECURSIVE wanted")) return { snapshot, version: null }
  const tables = String(oids).replaceAll(/[{}]/g, "").split(",").filter(Boolean)
  const each = (what: string) => tables.map((oid) => `${oid}:${what}`).join(" ")
  return {
    snapshot,
    version: "same",
    around: null,
    tables: each("same:1"),
    columns: each("same:1"),
    keys: each("same"),
    trees: null,
    members: each("1"),
    types: null,
    publication: hasPublication ? "1/1:t" : null
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
      if (sql.startsWith("SELECT 1 FROM pg_stat_replication"))
        return server.sessions.has(Number(params[0])) ? [{}] : []
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
  rememberedByOid: (oid) => tableInfo(oid),
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
          (yield* onSnapshot({
            ...snapshot,
            walLsn: serverLsn(server.walEnd, 0n),
            containedBefore: serverLsn(server.walEnd, 0n)
          })) === "retry"
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
  | ReplicationStream
  | AdminPool
  | Publication
  | Inspector
  | Warmth
  | Snapshotter
  | SnapshotSessions
  | SubsetReader
  | Catalogue

/** Replication is the service's own; it speaks to the simulated server through a socket that is none. */
export const fakeServices = (reach: Reach): Layer.Layer<FakeServices, never, Config> =>
  ReplicationStream.layerThrough(
    () => new FakeSocket(reach.server, reach.peer, reach.time, reach.onAcknowledge)
  ).pipe(
    Layer.provideMerge(
      Layer.succeedContext(
        Context.make(AdminPool, adminPool(reach)).pipe(
          Context.add(Publication, publication(reach)),
          Context.add(Inspector, inspector(reach)),
          Context.add(Warmth, { keep: reach.strikes.goingOn("warmth") }),
          Context.add(Snapshotter, snapshotter(reach)),
          // Nobody asks for one: no shape here has a sub-select.
          Context.add(
            SnapshotSessions,
            SnapshotSessions.of({ size: 1, acquire: Effect.never, acquireForSubset: () => Effect.never })
          ),
          Context.add(SubsetReader, {
            read: () => Effect.fail(new SubsetUnavailable({ message: "no subsets here" }))
          }),
          Context.add(Catalogue, {
            loaded: () => {
              reach.strikes.pass("loaded")
              return undefined
            },
            get: Effect.fail(new CatalogueUnavailable({ message: "no conditions here", cause: undefined })),
            reload: Effect.fail(
              new CatalogueUnavailable({ message: "no conditions here", cause: undefined })
            ),
            renewed: Effect.fail(
              new CatalogueUnavailable({ message: "no conditions here", cause: undefined })
            )
          })
        )
      )
    )
  )
