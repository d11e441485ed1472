import { Deferred, Effect, Logger } from "effect"
import pg from "pg"
import { acquireLock, type AcquireOptions } from "../../src/lock/LockService.ts"
import { isHeld } from "../../src/lock/LockKey.ts"
import type { ReplicationConnection } from "../../src/replication/stream/ReplicationConnection.ts"
import { ensureSlot } from "../../src/replication/connection/Slot.ts"
import { recordingSink } from "../replication/recording-sink.ts"
import { adminOf, connectTo, until } from "../replication/support.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"

/** What tests do with the lock of one database. */
export const contestOn = (db: () => TestDatabase) => {
  const rows = (sql: string) => Effect.promise(() => db().query(sql))

  const holders = Effect.map(rowsOf(db, isHeld), (found) => found.map(({ pid }) => pid))

  const isWaiting = (connection: ReplicationConnection) =>
    until("waits for the lock", () =>
      db()
        .query(`SELECT 1 FROM pg_locks WHERE pid = ${connection.backendPid} AND NOT granted`)
        .then((found) => found.length > 0)
    )

  const lock = (connection: ReplicationConnection, options: Partial<AcquireOptions> = {}) =>
    Effect.flatMap(adminOf(db()), (admin) =>
      acquireLock(connection, { lockName: db().slotName, admin, ...options })
    ).pipe(Effect.provide(Logger.layer([])))

  const makeSlot = Effect.suspend(() =>
    Effect.gen(function* () {
      const admin = yield* adminOf(db())
      const connection = yield* connectTo(db())
      yield* ensureSlot(connection, { slotName: db().slotName, temporary: false, admin })
      yield* connection.close
    })
  )

  /** Streams in the background; returns when Postgres streams. */
  const streaming = (connection: ReplicationConnection) =>
    Effect.gen(function* () {
      yield* rows(`CREATE PUBLICATION ${db().publicationName}`)
      const started = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        connection.stream({
          admin: yield* adminOf(db()),
          slotName: db().slotName,
          publicationName: db().publicationName,
          sink: recordingSink({}).sink,
          shift: 0n,
          maxTransactionBytes: 1_000_000,
          onStarted: Effect.asVoid(Deferred.succeed(started, undefined))
        })
      )
      yield* Deferred.await(started)
    })

  /** A session of a program that knows nothing of our protocol takes the lock. */
  const rawHolder = (options: { readonly replication: boolean; readonly applicationName: string }) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const { host, port, user, password, name, slotName } = db()
        const config = {
          host,
          port,
          user,
          password,
          database: name,
          application_name: options.applicationName,
          ...(options.replication ? { replication: "database" } : {})
        }
        const client = new pg.Client(config)
        client.on("error", () => {})
        await client.connect()
        await client.query(`SELECT pg_advisory_lock(hashtext('${slotName}'))`)
        return client
      }),
      (client) => Effect.promise(() => client.end().catch(() => {}))
    )

  return { rows, holders, isWaiting, lock, makeSlot, streaming, rawHolder }
}

const rowsOf = (db: () => TestDatabase, condition: (lockName: string) => string) =>
  Effect.promise(() =>
    db().query<{ readonly pid: number }>(`SELECT l.pid FROM pg_locks l WHERE ${condition(db().slotName)}`)
  )
