import { Effect } from "effect"
import { standardLimits } from "../../src/config/Limits.ts"
import type { SessionOptions } from "../../src/registry/RegistrySession.ts"
import { makeClauseMatcher } from "../../src/registry/routing/Matcher.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import type { SnapshotRequest } from "../../src/registry/snapshot/Snapshotter.ts"
import { zeroServerLsn } from "../../src/shared/Lsn.ts"

/** Snapshots without rows, of no transaction. */
const snapshotter = {
  run: <E>({ onSnapshot, sink }: SnapshotRequest<E>) =>
    Effect.gen(function* () {
      yield* onSnapshot({
        xmin: 1n,
        xmax: 1n,
        xipList: [],
        walLsn: zeroServerLsn,
        containedBefore: zeroServerLsn
      })
      yield* sink.write(Buffer.from(`{"headers":{"control":"snapshot-end"}}`))
      yield* sink.end()
    })
}

/** Of a session that needs no Postgres: all is published and nothing is left to decide. */
export const withoutPostgres = (engine: StorageEngine): SessionOptions => ({
  engine,
  snapshotter,
  makeMatcher: makeClauseMatcher(standardLimits),
  prepared: new PreparedRoutes(makeClauseMatcher(standardLimits)),
  decide: () => Effect.succeed({ failed: new Map(), aboveLimit: new Map() }),
  decisionMillis: 400,
  limits: standardLimits,
  moves: {
    sessions: { acquire: Effect.never },
    directories: [],
    askForPosition: () => {},
    positionLost: () => {},
    published: () => () => Effect.void,
    definedAnew: Effect.never,
    inspector: { readAgain: () => Effect.never, tableByOid: () => Effect.never },
    makeMatcher: (membership) => makeClauseMatcher(standardLimits, undefined, membership)
  },
  maxShapes: undefined,
  publish: () => Effect.void,
  ancestors: () => Effect.succeed([]),
  published: () => Effect.void,
  identityLost: () => {},
  onDurable: () => {}
})
