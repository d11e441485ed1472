import { Context, Effect, Layer } from "effect"
import type { Config } from "../config/BatonConfig.ts"
import { Conditions } from "../http/shape/Conditions.ts"
import { Warmth } from "../instance/duties/Warmth.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import type { SessionPool } from "../postgres/connection/SessionPool.ts"
import { Publication } from "../postgres/publication/Publication.ts"
import { SnapshotSessions } from "../registry/snapshot/SnapshotSessions.ts"
import type { DatabaseSnapshot } from "../registry/snapshot/SnapshotTransaction.ts"
import { Snapshotter } from "../registry/snapshot/Snapshotter.ts"
import { ReplicationStream } from "../replication/ReplicationStream.ts"
import { Catalogue, CatalogueUnavailable } from "../where/index.ts"
import type { PracticeServer } from "./PracticeServer.ts"
import { practiceTable } from "./PracticeTable.ts"

/** What a practice has of the instance that it is done for. */
export interface PracticeDatabase {
  readonly admin: Pick<SessionPool, "query" | "size">
  readonly snapshotter: Snapshotter["Service"]
}

/** Looks at the catalogue, whose texts are kept, and does nothing else: a practice alters nothing, and writes nothing to the WAL. */
const lookingOnly = ({ query, size }: PracticeDatabase["admin"]): SessionPool => ({
  size,
  query: (sql, params, kept) => (kept === undefined ? Effect.succeed([]) : query(sql, params, kept)),
  transaction: () => Effect.die(new Error("nothing is altered in a practice"))
})

const publication = Publication.of({
  ensureExists: Effect.succeed({ created: false, repaired: false }),
  ensureTable: () => Effect.succeed({ altered: false }),
  settle: () => Effect.void,
  publish: () => Effect.void,
  trust: () => {},
  tablesChanged: () => {},
  reconcile: () => Effect.die(new Error("nothing is compared in a practice")),
  run: () => Effect.never
})

const table = Effect.succeed(practiceTable)

const inspector = Inspector.of({
  table: () => table,
  tableNow: () => table,
  whyAbsent: () => Effect.undefined,
  tableByOid: () => table,
  remembered: () => practiceTable,
  rememberedByOid: () => practiceTable,
  serverVersionNum: () => 180000,
  isFresh: () => true,
  all: () => [],
  restore: () => {},
  invalidate: () => {},
  readAgain: () => Effect.void,
  refresh: Effect.succeed([]),
  onChange: () => Effect.void
})

/** As it would have been just before the last transaction before it: the catalogue shows that one, which the stream then brings. */
const oneEarlier = (snapshot: DatabaseSnapshot): DatabaseSnapshot => {
  const xid = snapshot.xmin - 1n
  return { ...snapshot, xmin: xid, xmax: xid, xipList: [] }
}

/** The transaction comes while the shape waits for its first rows. */
const thenCommitting = ({ run }: Snapshotter["Service"], server: PracticeServer): Snapshotter["Service"] =>
  Snapshotter.of({
    run: (request) =>
      run({
        ...request,
        onSnapshot: (taken) => {
          const snapshot = oneEarlier(taken)
          return Effect.tap(request.onSnapshot(snapshot), (next) =>
            Effect.sync(() => {
              if (next === "go") server.commit(snapshot)
            })
          )
        }
      })
  })

const noCatalogue = Effect.fail(
  new CatalogueUnavailable({ message: "a practice has no types", cause: undefined })
)

const others = Context.make(Publication, publication).pipe(
  Context.add(Inspector, inspector),
  Context.add(Warmth, { keep: Effect.never }),
  Context.add(
    SnapshotSessions,
    SnapshotSessions.of({ size: 1, acquire: Effect.never, acquireForSubset: () => Effect.never })
  ),
  Context.add(
    Catalogue,
    Catalogue.of({ loaded: () => undefined, get: noCatalogue, reload: noCatalogue, renewed: noCatalogue })
  )
)

type PracticeServices =
  | AdminPool
  | Catalogue
  | Conditions
  | Inspector
  | Publication
  | ReplicationStream
  | SnapshotSessions
  | Snapshotter
  | Warmth

/** What an instance knows of Postgres, where there is none. Its replication is its own, down to the bytes. */
export const practiceServices = (
  server: PracticeServer,
  { admin, snapshotter }: PracticeDatabase
): Layer.Layer<PracticeServices, never, Config> => {
  const own = Context.add(others, AdminPool, lookingOnly(admin)).pipe(
    Context.add(Snapshotter, thenCommitting(snapshotter, server))
  )
  return ReplicationStream.layerThrough(() => server).pipe(
    Layer.provideMerge(Layer.merge(Layer.succeedContext(own), Conditions.layerNone))
  )
}
