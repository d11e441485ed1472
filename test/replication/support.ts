import { Effect, Redacted } from "effect"
import { createConnection, createServer, type Socket } from "node:net"
import type { DatabaseTarget } from "../../src/config/BatonConfig.ts"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { connect, type ConnectOptions } from "../../src/replication/stream/ReplicationConnection.ts"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { patient } from "../../testing/Load.ts"

export const targetOf = (db: TestDatabase): DatabaseTarget => ({
  host: db.host,
  port: db.port,
  database: db.name,
  username: db.user,
  password: Redacted.make(db.password),
  sslMode: "prefer"
})

export const plainConfig: ConnectOptions["config"] = {
  databaseUseIpv6: false,
  databaseCaCertificateFile: undefined,
  tcpKeepaliveIdleMillis: undefined,
  tcpKeepaliveIntervalMillis: undefined,
  tcpKeepaliveCount: undefined,
  tcpUserTimeoutMillis: undefined,
  walSenderTimeoutMillis: undefined
}

export const connectTo = (db: TestDatabase, config: Partial<ConnectOptions["config"]> = {}) =>
  connect({ target: targetOf(db), config: { ...plainConfig, ...config } })

export const adminOf = (db: TestDatabase) => makeAdminPool(targetOf(db), plainConfig, 8)

/** A TCP proxy in front of the database that can be made to swallow everything, in both directions, without closing. */
export const proxyTo = (db: TestDatabase) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const sockets = new Set<Socket>()
      let frozen = false
      const forward = (from: Socket, to: Socket) => {
        sockets.add(from)
        from.on("data", (chunk) => frozen || to.write(chunk))
        from.on("error", () => {})
        from.on("close", () => (frozen ? undefined : to.destroy()))
      }
      const server = createServer((client) => {
        const upstream = createConnection({ host: db.host, port: db.port })
        forward(client, upstream)
        forward(upstream, client)
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const address = server.address()
      return {
        port: typeof address === "object" && address !== null ? address.port : 0,
        freeze: () => void (frozen = true),
        stop: () => {
          for (const socket of sockets) socket.destroy()
          server.close()
        }
      }
    }),
    (proxy) => Effect.sync(() => proxy.stop())
  )

/** Waits until `check` gives something other than undefined or false; dies after the deadline, which grows with the load. */
export const until = <A>(
  what: string,
  check: () => A | undefined | false | Promise<A | undefined | false>,
  deadlineMillis = 10_000
): Effect.Effect<A> =>
  Effect.gen(function* () {
    const began = performance.now()
    while (true) {
      const found = yield* Effect.promise(async () => check())
      if (found !== undefined && found !== false) return found
      if (performance.now() - began > patient(deadlineMillis))
        return yield* Effect.die(new Error(`Did not happen in time: ${what}`))
      yield* Effect.sleep(5)
    }
  })
