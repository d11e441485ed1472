import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import { inspect } from "node:util"
import pg from "pg"
import { afterAll, beforeAll } from "vitest"
import type { DatabaseTarget } from "../../src/config/BatonConfig.ts"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { postgresUser, traversableTmp } from "../../src/dev/PostgresBinaries.ts"
import { classifyPgError } from "../../src/postgres/errors/ClassifyPgError.ts"
import {
  clientOptions,
  type ConnectionConfig,
  displaySettings,
  serverTcpSettings,
  transportOptions
} from "../../src/postgres/connection/ConnectionOptions.ts"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { Transport } from "../../src/postgres/connection/Transport.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"
import { eventually } from "./eventually.ts"
import { patient } from "../../testing/Load.ts"

const pem = (name: string) => new URL(`tls/${name}`, import.meta.url).pathname

const database = databaseForFile()

/** Connects with both libraries; what each of them sees of TLS, or how each of them fails. */
const encryptionWith = (target: DatabaseTarget, config: ConnectionConfig = plainConfig) =>
  Effect.gen(function* () {
    const sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    const pool = yield* makeAdminPool(target, config, 1)
    const pooled = yield* Effect.match(pool.query<{ ssl: boolean }>(sql), {
      onFailure: (error) => error.kind as string,
      onSuccess: ([row]) => (row?.ssl === true ? "encrypted" : "plain")
    })
    const client = yield* Effect.promise(() =>
      withClient(target, config, async (session) => (await session.query(sql)).rows)
    )
    return [pooled, client]
  }).pipe(Effect.scoped)

const withClient = async (
  target: DatabaseTarget,
  config: ConnectionConfig,
  work: (client: pg.Client) => Promise<ReadonlyArray<{ ssl: boolean }>>
): Promise<string> => {
  const client = new pg.Client(clientOptions(target, config, { applicationName: "test", settings: {} }))
  client.on("error", () => {})
  try {
    await client.connect()
    const [row] = await work(client)
    return row?.ssl === true ? "encrypted" : "plain"
  } catch (error) {
    return classifyPgError(error).kind
  } finally {
    await client.end()
  }
}

const ca = (file: string): ConnectionConfig => ({ ...plainConfig, databaseCaCertificateFile: file })

describe("a server without TLS", () => {
  it.live.each([
    ["disable", undefined, "plain"],
    ["allow", undefined, "plain"],
    ["prefer", undefined, "plain"],
    ["require", undefined, "ssl_not_supported"],
    ["prefer", pem("ca.pem"), "ssl_not_supported"]
  ] as const)("sslmode=%s, CA file %s: %s", ([sslMode, file, expected]) =>
    Effect.gen(function* () {
      const config = file === undefined ? plainConfig : ca(file)
      assert.deepStrictEqual(yield* encryptionWith(targetOf(database(), { sslMode }), config), [
        expected,
        expected
      ])
    })
  )
})

describe("a server with TLS, and only TLS", () => {
  let cluster: Cluster | undefined
  let directory = ""
  beforeAll(async () => {
    const account = postgresUser()
    directory = mkdtempSync(join(traversableTmp(account), "baton-tls-"))
    chmodSync(directory, 0o755)
    for (const name of ["server.pem", "server.key"]) {
      const file = join(directory, name)
      copyFileSync(pem(name), file)
      chmodSync(file, 0o600)
      if (account !== undefined) chownSync(file, account.uid, account.gid)
    }
    cluster = await startCluster({
      settings: {
        ssl: "on",
        ssl_cert_file: join(directory, "server.pem"),
        ssl_key_file: join(directory, "server.key"),
        fsync: "off"
      }
    })
    await cluster.stop()
    writeFileSync(
      join(cluster.directory, "data", "pg_hba.conf"),
      "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl replication all 127.0.0.1/32 scram-sha-256\n"
    )
    await cluster.start()
  })
  afterAll(async () => {
    await cluster?.destroy()
    rmSync(directory, { recursive: true, force: true })
  })
  const target = (changes: Partial<DatabaseTarget>) => {
    if (cluster === undefined) throw new Error("not started")
    return targetOf({ ...cluster, name: "postgres" }, { host: "localhost", ...changes })
  }

  it.live.each([
    ["disable", "localhost", undefined, "ssl_connection_required"],
    ["allow", "localhost", undefined, "encrypted"],
    ["prefer", "localhost", undefined, "encrypted"],
    ["require", "127.0.0.1", undefined, "encrypted"],
    ["prefer", "localhost", pem("ca.pem"), "encrypted"],
    ["prefer", "localhost", pem("other-ca.pem"), "ssl_connection_failed"],
    ["prefer", "127.0.0.1", pem("ca.pem"), "ssl_connection_failed"],
    ["prefer", "localhost", pem("server.key"), "ssl_connection_failed"],
    ["prefer", "localhost", "/nowhere/ca.pem", "ssl_connection_failed"]
  ] as const)("sslmode=%s to %s, CA file %s: %s", ([sslMode, host, file, expected]) =>
    Effect.gen(function* () {
      const config = file === undefined ? plainConfig : ca(file)
      assert.deepStrictEqual(yield* encryptionWith(target({ sslMode, host }), config), [expected, expected])
    })
  )

  it.live("cancels statements through TLS as well", () =>
    Effect.gen(function* () {
      const pool = yield* makeAdminPool(target({}), plainConfig, 8)
      const asleep = yield* Effect.forkScoped(pool.query("SELECT pg_sleep(60)"))
      const running = Effect.map(
        pool.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)' AND state = 'active'"
        ),
        (rows) => rows.length
      )
      yield* eventually(
        "it sleeps",
        Effect.map(running, (count) => count === 1)
      )
      const started = Date.now()
      yield* Fiber.interrupt(asleep)
      assert.isBelow(Date.now() - started, patient(2000))
      assert.strictEqual(yield* running, 0)
    })
  )
})

describe("a session", () => {
  const config: ConnectionConfig = {
    ...plainConfig,
    tcpKeepaliveIdleMillis: 12_900,
    tcpKeepaliveIntervalMillis: 500,
    tcpKeepaliveCount: 4,
    tcpUserTimeoutMillis: 20_500
  }
  const expected = {
    tcp_keepalives_idle: "12",
    tcp_keepalives_interval: "1",
    tcp_keepalives_count: "4",
    tcp_user_timeout: "20500"
  }

  it("has no TCP settings when none are configured", () => {
    assert.deepStrictEqual(serverTcpSettings(plainConfig), {})
  })

  it.live("of the pool has the configured TCP settings and the display settings", () =>
    Effect.gen(function* () {
      const pool = yield* makeAdminPool(targetOf(database()), config, 1)
      for (const [name, value] of Object.entries({ ...expected, ...displaySettings })) {
        assert.deepStrictEqual(
          yield* pool.query("SELECT current_setting($1) AS value", [name]),
          [{ value }],
          name
        )
      }
    })
  )

  it("for replication has them too, blanks in values included, and runs replication commands", async () => {
    const options = clientOptions(targetOf(database()), config, {
      applicationName: "baton test",
      settings: { ...displaySettings, ...serverTcpSettings(config) }
    })
    const client = new pg.Client({ ...options, replication: "database" } as pg.ClientConfig)
    client.on("error", () => {})
    await client.connect()
    for (const [name, value] of Object.entries({
      ...expected,
      ...displaySettings,
      application_name: "baton test"
    })) {
      assert.deepStrictEqual((await client.query(`SHOW ${name}`)).rows[0][name], value, name)
    }
    assert.strictEqual((await client.query("IDENTIFY_SYSTEM")).rows[0].dbname, database().name)
    await client.end()
  })

  it("gives large results whole, and survives being paused", async () => {
    const client = new pg.Client(
      clientOptions(targetOf(database()), plainConfig, { applicationName: "test", settings: {} })
    )
    await client.connect()
    const stream = (client as unknown as { connection: { stream: Transport } }).connection.stream
    assert.instanceOf(stream, Transport)
    const pending = client.query("SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 20000) n")
    for (let i = 0; i < 20; i++) {
      stream.pause()
      await new Promise((resolve) => setTimeout(resolve, 2))
      stream.resume()
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { rows } = await pending
    assert.strictEqual(rows.length, 20_000)
    assert.isTrue(
      rows.every((row: { n: number; x: string }, i: number) => row.n === i + 1 && row.x.length === 1000)
    )
    await client.end()
  })

  it("that is ended by the server says why", async () => {
    const client = new pg.Client(
      clientOptions(targetOf(database()), plainConfig, { applicationName: "test", settings: {} })
    )
    await client.connect()
    const ended = new Promise<unknown>((resolve) => client.on("error", resolve))
    const { rows } = await client.query("SELECT pg_backend_pid() AS pid")
    await database().query("SELECT pg_terminate_backend($1)", [rows[0].pid])
    assert.strictEqual(classifyPgError(await ended).kind, "database_server_shutting_down")
  })

  it("shows no password when its options are printed", () => {
    const target = targetOf(database(), { password: Redacted.make("hunter2") })
    const options = clientOptions(target, plainConfig, { applicationName: "test", settings: {} })
    assert.notInclude(inspect(options, { depth: 9 }) + JSON.stringify(options) + inspect(target), "hunter2")
  })

  it.live("with a wrong password, or to a database that is not there, fails for good", () =>
    Effect.gen(function* () {
      for (const [changes, kind] of [
        [{ password: Redacted.make("wrong") }, "invalid_username_or_password"],
        [{ password: undefined }, "invalid_username_or_password"],
        [{ database: "not_there" }, "database_does_not_exist"]
      ] as const) {
        const target = targetOf(database(), changes)
        assert.deepStrictEqual(yield* encryptionWith(target), [kind, kind])
      }
    })
  )
})

/** A server that does with each connection what the test says. */
const fakeServer = async (
  onConnection: (socket: Socket) => void
): Promise<{ server: Server; port: number }> => {
  const server = createServer(onConnection)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return { server, port: typeof address === "object" && address !== null ? address.port : 0 }
}

const outcome = (transport: Transport): Promise<string> =>
  new Promise((resolve) => {
    transport.once("connect", () => resolve(transport.encrypted === true ? "encrypted" : "plain"))
    transport.once("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message))
    transport.once("close", () => resolve("closed"))
  })

const transportTo = (port: number, host = "localhost") =>
  transportOptions(targetOf(database(), { host, port }), plainConfig)

describe("negotiation", () => {
  it("tells the server the host name it was asked for, but never an address", async () => {
    const names: Array<string> = []
    const { server, port } = await fakeServer((socket) => {
      socket.on("error", () => {})
      socket.once("data", () => {
        socket.write("S")
        const secure = new TLSSocket(socket, {
          isServer: true,
          cert: readFileSync(pem("server.pem")),
          key: readFileSync(pem("server.key")),
          SNICallback: (name, callback) => {
            names.push(name)
            callback(null)
          }
        })
        secure.on("error", () => {})
      })
    })
    for (const host of ["localhost", "127.0.0.1"]) {
      const transport = new Transport(transportTo(port, host))
      assert.strictEqual(await outcome(transport), "encrypted")
      transport.destroy()
    }
    assert.deepStrictEqual(names, ["localhost"])
    server.close()
  })

  it.each([
    ["more than one byte, which an attacker could have put there", "Nabc"],
    ["an error message", "E"],
    ["something else", "x"]
  ])("is broken off when the answer is %s", async (_, answer) => {
    const { server, port } = await fakeServer((socket) => {
      socket.on("error", () => {})
      socket.once("data", () => void socket.write(answer))
    })
    const transport = new Transport(transportTo(port))
    assert.strictEqual(await outcome(transport), "TLS_NEGOTIATION")
    server.close()
  })

  it("fails when the server hangs up instead of answering", async () => {
    const { server, port } = await fakeServer((socket) => void socket.once("data", () => socket.destroy()))
    assert.strictEqual(await outcome(new Transport(transportTo(port))), "ECONNRESET")
    server.close()
  })

  it("can be given up while the server, or the name server, says nothing", async () => {
    const { server, port } = await fakeServer(() => {})
    const silent = new Transport(transportTo(port))
    const unresolved = new Transport({ ...transportTo(port), lookup: () => {} })
    for (const transport of [silent, unresolved]) {
      const end = outcome(transport)
      await new Promise((resolve) => setTimeout(resolve, 20))
      transport.destroy(new Error("given up"))
      assert.strictEqual(await end, "given up")
    }
    server.close()
  })
})

describe("a host with several addresses", () => {
  const addresses = [
    { address: "::1", family: 6 },
    { address: "127.0.0.1", family: 4 }
  ]
  const connect = (preferIpv6: boolean, order: Array<string | undefined>) =>
    new Transport({
      ...transportOptions(targetOf(database(), { host: "db.test" }), {
        ...plainConfig,
        databaseUseIpv6: preferIpv6
      }),
      lookup: (_, options, callback) => {
        order.push(options.order)
        callback(null, options.order === "ipv6first" ? addresses : addresses.toReversed())
      }
    })

  it("is tried with the preferred family first, and with the other one if nothing listens there", async () => {
    const order: Array<string | undefined> = []
    for (const preferIpv6 of [true, false]) {
      const transport = connect(preferIpv6, order)
      assert.strictEqual(await outcome(transport), "plain")
      transport.destroy()
    }
    assert.deepStrictEqual(order, ["ipv6first", "ipv4first"])
  })
})
