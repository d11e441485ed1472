import type { Duplex } from "node:stream"
import { Context, Effect, Layer, type Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import type { PgError } from "../postgres/errors/PgError.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import type { PassedOver } from "./stream/PassOver.ts"
import { connect, type ReplicationConnection } from "./stream/ReplicationConnection.ts"
import type { StreamOptions } from "./stream/RunStream.ts"
import { dropSlot, ensureSlot, type EnsuredSlot, readSlot } from "./connection/Slot.ts"

/**
 * Replication as configured: the slot, publication and limits of this deployment. The steps of one round, in order, on
 * one connection: `connect`, the lock (`LockService`), `ensureSlot`, `stream`. A failure ends the round; see
 * `ReconnectPolicy` for when to begin the next one.
 */
export class ReplicationStream extends Context.Service<
  ReplicationStream,
  {
    /** A walsender connection, closed with the scope. */
    readonly connect: Effect.Effect<ReplicationConnection, PgError, Scope.Scope>
    /** Makes sure that there is a slot to stream from. Only with the lock. */
    readonly ensureSlot: (
      connection: ReplicationConnection,
      options?: { readonly exportSnapshot: boolean }
    ) => Effect.Effect<EnsuredSlot, PgError>
    /** Drops a slot that is of no use any more (`PgError.recovery` is `recreateSlot`). Only with the lock. */
    readonly dropSlot: (connection: ReplicationConnection) => Effect.Effect<void, PgError>
    /** Reads a transaction that cannot be streamed, without its values; see `ReplicationConnection.passOver`. */
    readonly passOver: (
      connection: ReplicationConnection,
      options: Pick<
        Parameters<ReplicationConnection["passOver"]>[0],
        "isNew" | "until" | "durableLsn" | "shift"
      >
    ) => Effect.Effect<PassedOver, PgError>
    /** Streams into the sink until that fails or is interrupted. */
    readonly stream: (
      connection: ReplicationConnection,
      options: Pick<StreamOptions, "sink" | "fromLsn" | "onStarted" | "shift">
    ) => Effect.Effect<never, PgError>
  }
>()("baton/replication/ReplicationStream") {
  /** `socket`: what a connection speaks through; by default the way to the configured server. */
  static readonly layerThrough = (socket?: () => Duplex) =>
    Layer.effect(
      ReplicationStream,
      Effect.gen(function* () {
        const config = yield* Config
        const admin = yield* AdminPool
        const { failoverSlot, slotName, publicationName, temporarySlot, maxTransactionBytes } = config
        return ReplicationStream.of({
          connect: Effect.tap(connect({ target: config.database, config, socket }), ({ query }) =>
            // The backend's first look takes much longer than the one that the takeover waits for.
            Effect.ignore(readSlot(query, slotName))
          ),
          ensureSlot: (connection, options) =>
            ensureSlot(connection, {
              slotName,
              temporary: temporarySlot,
              failover: failoverSlot,
              admin,
              ...options
            }),
          dropSlot: (connection) => dropSlot(connection.query, slotName),
          passOver: (connection, options) => connection.passOver({ ...options, slotName, publicationName }),
          stream: (connection, options) =>
            connection.stream({ ...options, slotName, publicationName, maxTransactionBytes, admin })
        })
      })
    )

  static readonly layer = ReplicationStream.layerThrough()
}
