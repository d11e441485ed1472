import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import * as fc from "fast-check"
import { acceptedVariables } from "../../src/config/AcceptedVariables.ts"
import type { BatonConfig } from "../../src/config/BatonConfig.ts"
import { type CompleteConfig, parseConfig } from "../../src/config/ParseConfig.ts"
import { telemetryVariables } from "../../src/config/TelemetryVariables.ts"
import { variables } from "../../src/config/Variables.ts"

type Env = Readonly<Record<string, string | undefined>>

const minimal: Env = {
  DATABASE_URL: "postgresql://me:hunter2@db.example:5433/shop",
  ELECTRIC_SECRET: "s3cr3t"
}
const random = { uuid: () => "00112233-4455-6677-8899-aabbccddeeff" }

const complete = (env: Env): CompleteConfig => {
  const parsed = Result.getOrThrow(parseConfig({ ...minimal, ...env }, random))
  if (parsed._tag !== "Complete") throw new Error("A database was given.")
  return parsed
}
const configOf = (env: Env): BatonConfig => complete(env).config
const problemsOf = (env: Env): ReadonlyArray<string> => {
  const parsed = parseConfig({ ...minimal, ...env }, random)
  return Result.isFailure(parsed) ? parsed.failure.problems : []
}

/** Per variable: where its value ends up, what it is unset, good texts with their value, and bad texts. */
interface Row<K extends keyof BatonConfig> {
  readonly field: K
  readonly unset: BatonConfig[K]
  readonly good: ReadonlyArray<readonly [string, BatonConfig[K]]>
  readonly bad: ReadonlyArray<string>
}
const row = <K extends keyof BatonConfig>(
  field: K,
  unset: BatonConfig[K],
  good: ReadonlyArray<readonly [string, BatonConfig[K]]>,
  bad: ReadonlyArray<string>
): Row<K> => ({ field, unset, good, bad })

const notBoolean = ["no", "off", "yes", "on", "2", " true", "true "]
const flag = (field: "databaseUseIpv6" | "temporarySlot" | "manualTablePublishing" | "allowShapeDeletion") =>
  row(
    field,
    false,
    [
      ["true", true],
      ["TRUE", true],
      ["1", true],
      ["false", false],
      ["False", false],
      ["0", false],
      ["", false]
    ],
    notBoolean
  )
const badTimes = [
  "",
  "ten",
  "10 parsecs",
  "10h",
  "-5s",
  "0",
  "0s",
  "5 s s",
  "1e3",
  "25 d",
  "1000000min",
  "10S",
  "5  s"
]
const badIntegers = ["", "ten", "10abc", "1.5", "1e3", "0x10", " 10", "-1", "99999999999999999999"]

const rows: Readonly<Record<string, Row<keyof BatonConfig>>> = {
  ELECTRIC_DATABASE_USE_IPV6: flag("databaseUseIpv6"),
  ELECTRIC_DATABASE_CA_CERTIFICATE_FILE: row(
    "databaseCaCertificateFile",
    undefined,
    [["/etc/ca.pem", "/etc/ca.pem"]],
    [""]
  ),
  ELECTRIC_DB_POOL_SIZE: row("dbPoolSize", 20, [["2", 2]], ["0", ...badIntegers]),
  ELECTRIC_DATABASE_TCP_KEEPALIVE_IDLE: row("tcpKeepaliveIdleMillis", undefined, [["10s", 10_000]], badTimes),
  ELECTRIC_DATABASE_TCP_KEEPALIVE_INTERVAL: row(
    "tcpKeepaliveIntervalMillis",
    undefined,
    [["500 msec", 500]],
    badTimes
  ),
  ELECTRIC_DATABASE_TCP_KEEPALIVE_COUNT: row("tcpKeepaliveCount", undefined, [["3", 3]], ["0", "128"]),
  ELECTRIC_DATABASE_TCP_USER_TIMEOUT: row("tcpUserTimeoutMillis", undefined, [["1min", 60_000]], badTimes),
  ELECTRIC_REPLICATION_STREAM_ID: row(
    "replicationStreamId",
    "default",
    [
      ["deploy-blue", "deploy_blue"],
      ["Blue_2", "blue_2"],
      ["a$b.c", "a_b_c"],
      ["x".repeat(42), "x".repeat(42)]
    ],
    ["", "a b", "../etc", "é", 'a"b', "a'b", "x".repeat(43)]
  ),
  CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: flag("temporarySlot"),
  BATON_FAILOVER_SLOT: row(
    "failoverSlot",
    true,
    [
      ["false", false],
      ["true", true]
    ],
    notBoolean
  ),
  BATON_HEARTBEAT_INTERVAL: row(
    "heartbeatMillis",
    5000,
    [
      ["250ms", 250],
      ["1 min", 60_000],
      ["0", undefined]
    ],
    ["ten", "-5s", "10h"]
  ),
  ELECTRIC_REPLICATION_IDLE_TIMEOUT: row(
    "replicationIdleTimeoutMillis",
    undefined,
    [
      ["30s", 30_000],
      ["5 min", 300_000],
      ["0", undefined]
    ],
    ["29s", "29999", "", "never"]
  ),
  ELECTRIC_MANUAL_TABLE_PUBLISHING: flag("manualTablePublishing"),
  ELECTRIC_PUBLICATION_ALTER_DEBOUNCE_TIME: row(
    "publicationAlterDebounceMillis",
    0,
    [
      ["0", 0],
      ["0ms", 0],
      ["50ms", 50]
    ],
    ["", "x"]
  ),
  ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: row(
    "publicationRefreshMillis",
    60_000,
    [["2s", 2000]],
    badTimes
  ),
  ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD: row(
    "schemaReconcilerMillis",
    60_000,
    [["2 sec", 2000]],
    badTimes
  ),
  ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE: row(
    "maxTransactionBytes",
    262_144_000,
    [["1000", 1000]],
    ["0", ...badIntegers]
  ),
  ELECTRIC_PORT: row(
    "port",
    3000,
    [
      ["8080", 8080],
      ["0", 0],
      ["65535", 65_535]
    ],
    ["65536", ...badIntegers]
  ),
  ELECTRIC_LISTEN_ON_IPV6: row(
    "listenHost",
    "0.0.0.0",
    [
      ["true", "::"],
      ["false", "0.0.0.0"]
    ],
    notBoolean
  ),
  ELECTRIC_INSTANCE_ID: row("instanceId", random.uuid(), [["blue-1", "blue-1"]], [""]),
  ELECTRIC_TCP_SEND_TIMEOUT: row("tcpSendTimeoutMillis", 30_000, [["1.5s", 1500]], badTimes),
  ELECTRIC_TCP_READ_TIMEOUT: row("tcpReadTimeoutMillis", 60_000, [["2 m", 120_000]], badTimes),
  ELECTRIC_LONG_POLL_TIMEOUT: row(
    "longPollTimeoutMillis",
    20_000,
    [["400", 400]],
    ["0", "20s", ...badIntegers]
  ),
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: row(
    "chunkBytesThreshold",
    10_485_760,
    [["10000", 10_000]],
    ["0", "10MB", ...badIntegers]
  ),
  ELECTRIC_CACHE_MAX_AGE: row(
    "cacheMaxAgeSeconds",
    60,
    [
      ["0", 0],
      ["5", 5]
    ],
    badIntegers
  ),
  ELECTRIC_CACHE_STALE_AGE: row("cacheStaleAgeSeconds", 300, [["10", 10]], badIntegers),
  ELECTRIC_MAX_CONCURRENT_REQUESTS: row(
    "maxConcurrentRequests",
    { initial: 300, existing: 10_000 },
    [['{"existing": 20, "initial": 10}', { initial: 10, existing: 20 }]],
    [
      "",
      "300",
      "null",
      "[1,2]",
      '{"initial":300}',
      '{"initial":"300","existing":1}',
      '{"initial":1.5,"existing":1}',
      "{"
    ]
  ),
  ELECTRIC_MAX_SHAPES: row("maxShapes", undefined, [["5", 5]], ["0", ...badIntegers]),
  ELECTRIC_ENABLE_INTEGRATION_TESTING: flag("allowShapeDeletion"),
  ELECTRIC_TWEAKS_CONN_MAX_REQUESTS: row("maxRequestsPerConnection", 50, [["0", 0]], badIntegers),
  ELECTRIC_STORAGE_DIR: row("storageDir", "./persistent", [["/data", "/data"]], ["", "a\0b"]),
  ELECTRIC_STORAGE: row(
    "storage",
    "file",
    [
      ["memory", "memory"],
      ["Fast_File", "file"],
      ["MEMORY", "memory"]
    ],
    ["", "FILE", "legacy_file", "disk"]
  ),
  ELECTRIC_SHAPE_DB_STORAGE_DIR: row("shapeDbStorageDir", undefined, [["/fast", "/fast"]], ["", ":memory:"]),
  ELECTRIC_SHAPE_DB_CACHE_SIZE: row(
    "shapeDbCacheBytes",
    4096 * 1024,
    [
      ["65536", 65_536],
      ["500KB", 500_000],
      ["1.5 MiB", 1_572_864],
      ["1 GB", 1e9]
    ],
    ["", "0", "4 kb", "4 TB", "-1", "4KiB x"]
  ),
  BATON_JOURNAL_SEGMENT_BYTES: row(
    "journalSegmentBytes",
    32 * 1024 * 1024,
    [
      ["65536", 65_536],
      ["500KB", 500_000],
      ["1.5 MiB", 1_572_864],
      ["1 GB", 1e9]
    ],
    ["", "0", "4 kb", "4 TB", "-1", "4KiB x"]
  ),
  ELECTRIC_CLEANUP_INTERVAL_MS: row("cleanupIntervalMillis", 10_000, [["200", 200]], badTimes),
  BATON_SHAPE_DORMANT_AFTER: row("shapeDormantAfterMillis", 1_800_000, [["90s", 90_000]], ["0", ...badTimes]),
  BATON_SHAPE_DROP_AFTER: row(
    "shapeDropAfterMillis",
    undefined,
    [["60min", 3_600_000]],
    ["1min", ...badTimes]
  ),
  BATON_SHUTDOWN_GRACE: row(
    "shutdownGraceMillis",
    25_000,
    [
      ["0", 0],
      ["55s", 55_000]
    ],
    ["", "soon"]
  ),
  BATON_ROLLBACK_WINDOW: row(
    "rollbackWindowMillis",
    86_400_000,
    [
      ["0", 0],
      ["60min", 3_600_000]
    ],
    ["", "a day"]
  ),
  BATON_ROLLBACK_FLOOR: row("rollbackFloor", undefined, [["0.1.0", "0.1.0"]], ["v2", "0.1"]),
  BATON_WAL_SENDER_TIMEOUT: row("walSenderTimeoutMillis", undefined, [["5s", 5000]], ["0", "999ms"]),
  ELECTRIC_LOG_LEVEL: row(
    "logLevel",
    "info",
    [
      ["error", "error"],
      ["critical", "error"],
      ["warning", "warning"],
      ["warn", "warning"],
      ["notice", "info"],
      ["debug", "debug"]
    ],
    ["", "loud", "trace"]
  ),
  ELECTRIC_LOG_COLORS: row(
    "logColors",
    undefined,
    [
      ["true", true],
      ["0", false]
    ],
    ["", ...notBoolean]
  ),
  BATON_LOG_FORMAT: row(
    "logFormat",
    "auto",
    [
      ["json", "json"],
      ["text", "text"]
    ],
    ["", "JSON", "xml"]
  ),
  BATON_ACCESS_LOG: row("accessLog", false, [["true", true]], ["", ...notBoolean]),
  BATON_SLOW_REQUEST: row(
    "slowRequestMillis",
    5000,
    [
      ["2s", 2000],
      ["0", undefined]
    ],
    badTimes.filter((text) => !text.startsWith("0"))
  ),
  BATON_HTTP_WORKERS: row("httpWorkers", 0, [["2", 2]], ["65", ...badIntegers]),
  ELECTRIC_PROMETHEUS_PORT: row(
    "prometheusPort",
    undefined,
    [["9090", 9090]],
    ["0", "70000", ...badIntegers]
  ),
  BATON_DASHBOARD: row(
    "dashboard",
    "auto",
    [
      ["metrics", "metrics"],
      ["off", "off"]
    ],
    ["", "on", "true"]
  )
}

const warningFor = (name: string): string => complete({ [name]: "1" }).warnings[0] ?? ""

describe("parseConfig", () => {
  for (const [name, { field, unset, good, bad }] of Object.entries(rows)) {
    it(`${name}: default, good and bad values`, () => {
      assert.deepStrictEqual(configOf({})[field], unset)
      for (const [text, value] of good) {
        assert.deepStrictEqual(configOf({ [name]: text })[field], value, `${name}=${text}`)
      }
      for (const text of bad) {
        const problems = problemsOf({ [name]: text })
        assert.lengthOf(problems, 1, `${name}=${text}`)
        assert.include(problems[0], name)
        assert.include(problems[0], text === ":memory:" ? text : JSON.stringify(text))
      }
    })
  }

  /** See `telemetry-config.test.ts`. */
  const isOfTelemetry = new Set<string>(
    Object.values(telemetryVariables)
      .map(({ name }) => name)
      .filter((name) => name.startsWith("OTEL_") || !/LOG_|_LOG|PROMETHEUS|DASHBOARD|SLOW/.test(name))
  )

  it("has a test for every variable that sets one field", () => {
    const elsewhere = new Set([
      "DATABASE_URL",
      "ELECTRIC_POOLED_DATABASE_URL",
      "ELECTRIC_QUERY_DATABASE_URL",
      "ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME",
      "ELECTRIC_SECRET",
      "ELECTRIC_INSECURE",
      "ELECTRIC_EXPERIMENTAL_MAX_SHAPES",
      "ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE",
      "BATON_TLS_CERT_FILE",
      "BATON_TLS_KEY_FILE",
      "BATON_DEV_DIR",
      "BATON_DEV_POSTGRES"
    ])
    const untested = Object.values(variables)
      .filter(
        ({ group, name }) =>
          group !== "Bucket" &&
          !isOfTelemetry.has(name) &&
          !/^BATON_(?:COMPACTION|LOG_RETENTION|MAX_STORAGE)/.test(name)
      )
      .map((variable) => variable.name)
      .filter((name) => rows[name] === undefined && !elsewhere.has(name))
    assert.deepStrictEqual(untested, [])
  })

  it("says what is wrong with every variable at once, and never shows a secret", () => {
    const problems = problemsOf({
      DATABASE_URL: "mysql://me:hunter2@db/x",
      ELECTRIC_POOLED_DATABASE_URL: "postgres://hunter2@:5432/x",
      ELECTRIC_SECRET: "",
      ELECTRIC_PORT: "postgres://me:hunter2@db/x",
      ELECTRIC_HNY_API_KEY: "",
      SENTRY_DSN: "hunter2",
      ELECTRIC_SHAPE_HIBERNATE_AFTER: "later"
    })
    const starts = [
      "DATABASE_URL: ",
      "ELECTRIC_POOLED_DATABASE_URL: ",
      "ELECTRIC_SECRET: ",
      "ELECTRIC_PORT=",
      "SENTRY_DSN: "
    ]
    for (const start of [...starts, "ELECTRIC_SHAPE_HIBERNATE_AFTER="]) {
      assert.lengthOf(
        problems.filter((problem) => problem.startsWith(start)),
        1,
        start
      )
    }
    assert.lengthOf(problems, starts.length + 1)
    assert.notInclude(problems.join("\n"), "hunter2")
  })

  it("names variable, value and what is accepted in one line", () => {
    assert.deepStrictEqual(problemsOf({ ELECTRIC_PORT: "80a" }), [
      'ELECTRIC_PORT="80a": expected an integer from 0 to 65535'
    ])
  })

  it("needs a secret unless told otherwise; `no` is not a way to say so", () => {
    assert.match(problemsOf({ ELECTRIC_SECRET: undefined })[0] ?? "", /^ELECTRIC_SECRET is not set/)
    assert.match(
      problemsOf({ ELECTRIC_SECRET: undefined, ELECTRIC_INSECURE: "false" })[0] ?? "",
      /^ELECTRIC_SECRET/
    )
    assert.deepStrictEqual(problemsOf({ ELECTRIC_SECRET: undefined, ELECTRIC_INSECURE: "no" }), [
      'ELECTRIC_INSECURE="no": expected true, false, 1 or 0 (empty is false)'
    ])
    assert.match(problemsOf({ ELECTRIC_INSECURE: "true" })[0] ?? "", /exclude each other/)
    const open = complete({ ELECTRIC_SECRET: undefined, ELECTRIC_INSECURE: "true" })
    assert.isUndefined(open.config.secret)
    assert.strictEqual(open.config.listenHost, "0.0.0.0")
    assert.lengthOf(open.warnings, 1)
    const closed = configOf({})
    assert.strictEqual(closed.secret && Redacted.value(closed.secret), "s3cr3t")
    assert.notInclude(JSON.stringify(closed), "s3cr3t")
    assert.notInclude(JSON.stringify(closed), "hunter2")
  })

  it("without DATABASE_URL asks for a development database, served to this machine only unless secured", () => {
    const open = Result.getOrThrow(parseConfig({}, random))
    assert.strictEqual(open._tag, "NeedsDatabase")
    if (open._tag !== "NeedsDatabase") return
    assert.strictEqual(open.developmentDir, "./.baton")
    const { config, warnings } = Result.getOrThrow(
      open.complete("postgresql://postgres:p@127.0.0.1:54321/baton")
    )
    assert.strictEqual(config.database.port, 54_321)
    assert.strictEqual(config.pooledDatabase, config.database)
    assert.strictEqual(config.listenHost, "127.0.0.1")
    assert.lengthOf(warnings, 1)

    const secured = Result.getOrThrow(
      parseConfig({ ELECTRIC_SECRET: "x", BATON_DEV_DIR: "/tmp/dev", ELECTRIC_LISTEN_ON_IPV6: "1" }, random)
    )
    assert.strictEqual(secured._tag, "NeedsDatabase")
    if (secured._tag !== "NeedsDatabase") return
    assert.strictEqual(secured.developmentDir, "/tmp/dev")
    assert.strictEqual(Result.getOrThrow(secured.complete("postgres://p@h")).config.listenHost, "::")
    assert.isTrue(Result.isFailure(parseConfig({ ELECTRIC_POOLED_DATABASE_URL: "postgres://p@h" }, random)))
    assert.isTrue(Result.isFailure(parseConfig({ DATABASE_URL: "" }, random)), "empty is not unset")
  })

  it("takes first rows from the pooled database, whose old name still works", () => {
    assert.strictEqual(configOf({}).pooledDatabase.host, "db.example")
    assert.strictEqual(
      configOf({ ELECTRIC_POOLED_DATABASE_URL: "postgres://u@pool" }).pooledDatabase.host,
      "pool"
    )
    const old = complete({ ELECTRIC_QUERY_DATABASE_URL: "postgres://u:hunter2@old" })
    assert.strictEqual(old.config.pooledDatabase.host, "old")
    assert.match(old.warnings[0] ?? "", /use ELECTRIC_POOLED_DATABASE_URL/)
    const both = complete({
      ELECTRIC_QUERY_DATABASE_URL: "postgres://u@old",
      ELECTRIC_POOLED_DATABASE_URL: "postgres://u@new"
    })
    assert.strictEqual(both.config.pooledDatabase.host, "new")
    assert.strictEqual(configOf({ ELECTRIC_EXPERIMENTAL_MAX_SHAPES: "7" }).maxShapes, 7)
  })

  it("names slot and publication after the stream, or the temporary slot at random", () => {
    const named = configOf({ ELECTRIC_REPLICATION_STREAM_ID: "deploy-blue" })
    assert.strictEqual(named.slotName, "electric_slot_deploy_blue")
    assert.strictEqual(named.publicationName, "electric_publication_deploy_blue")
    const temporary = configOf({
      CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true",
      ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true"
    })
    assert.strictEqual(temporary.slotName, "electric_slot_00112233445566778899aabbccddeeff")
    const alone = complete({ ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true" })
    assert.strictEqual(alone.config.slotName, "electric_slot_default")
    assert.lengthOf(alone.warnings, 1)
  })

  it("checks what belongs together", () => {
    assert.match(problemsOf({ BATON_TLS_CERT_FILE: "cert.pem" })[0] ?? "", /BATON_TLS_KEY_FILE/)
    assert.deepStrictEqual(problemsOf({ BATON_TLS_CERT_FILE: "c", BATON_TLS_KEY_FILE: "k" }), [])
    assert.match(
      problemsOf({
        DATABASE_URL: "postgres://u@h?sslmode=disable",
        ELECTRIC_DATABASE_CA_CERTIFICATE_FILE: "ca"
      })[0] ?? "",
      /sslmode/
    )
    assert.deepStrictEqual(
      problemsOf({ ELECTRIC_SHAPE_DB_STORAGE_DIR: ":memory:", ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE: "true" }),
      []
    )
    assert.lengthOf(complete({ ELECTRIC_DB_POOL_SIZE: "1" }).warnings, 1)
  })

  it("accepts every other variable of Electric with a warning, and an empty environment with none", () => {
    assert.deepStrictEqual(complete({}).warnings, [])
    const examples: Readonly<Record<string, string>> = {
      ELECTRIC_PERSISTENT_STATE: "file",
      ELECTRIC_TELEMETRY_TOP_PROCESS_LIMIT: "mem_percent:20",
      SENTRY_DSN: "https://key@sentry.example/1",
      ELECTRIC_OTLP_ENDPOINT: "http://otel:4318"
    }
    for (const variable of acceptedVariables) {
      const value = [examples[variable.name] ?? "2", "true", "1"].find((text) =>
        Result.isSuccess(variable.kind.parse(text))
      )
      assert.isDefined(value, variable.name)
      const { warnings } = complete({ [variable.name]: value })
      assert.lengthOf(warnings, 1, variable.name)
      assert.isTrue(warnings[0]?.startsWith(`${variable.name} is `), warnings[0])
    }
    for (const limit of ["count:0", "mem_percent:101", "5", "count:"]) {
      assert.lengthOf(problemsOf({ ELECTRIC_TELEMETRY_TOP_PROCESS_LIMIT: limit }), 1, limit)
    }
    assert.lengthOf(problemsOf({ ELECTRIC_OTEL_SAMPLING_RATIO: "1.5" }), 1)
    assert.lengthOf(complete({ ELECTRIC_STATSD_HOST: "" }).warnings, 0)
    const bad: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
      ["ELECTRIC_SERVICE_NAME", [""]],
      ["ELECTRIC_SHAPE_DB_SYNCHRONOUS", ["", "sometimes", "OFF; DROP TABLE x"]],
      ["ELECTRIC_OTLP_ENDPOINT", ["", "otel:4318", "grpc://x"]],
      ["ELECTRIC_OTEL_EXPORT_PERIOD", badTimes]
    ]
    for (const [name, texts] of bad)
      for (const text of texts) assert.lengthOf(problemsOf({ [name]: text }), 1, `${name}=${text}`)
    assert.lengthOf(complete({ ELECTRIC_SERVICE_NAME: "sync" }).warnings, 0)
  })

  it("warns about a misspelt name without showing its value", () => {
    const { warnings } = complete({ ELECTRIC_SECERT: "hunter2", UNRELATED: "x" })
    assert.lengthOf(warnings, 1)
    assert.include(warnings[0], "ELECTRIC_SECERT")
    assert.notInclude(warnings[0], "hunter2")
  })

  it("names the variable that a misspelt one is near to, and none when nothing is", () => {
    assert.include(warningFor("ELECTRIC_PROT"), "did you mean ELECTRIC_PORT?")
    assert.include(warningFor("BATON_STORAGE_DIR"), "did you mean ELECTRIC_STORAGE_DIR?")
    assert.include(warningFor("ELECTRIC_SHUTDOWN_GRACES"), "did you mean BATON_SHUTDOWN_GRACE?")
    assert.include(warningFor("BATON_XYZZY_QUUX_FROBNICATE"), "is it misspelt?")
    assert.include(warningFor(`ELECTRIC_${"A".repeat(100_000)}`), "is it misspelt?")
  })

  it("never throws, and any value either sets its variable or is named as the problem", () => {
    const names = [...Object.values(variables), ...acceptedVariables].map((variable) => variable.name)
    const value = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string(),
      fc.constantFrom("true", "0", "10s", "4 MiB", "-1", "1e400", "postgres://u:p@h:1/d", '{"initial":1}'),
      fc.integer().map(String)
    )
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), (env) => {
        const parsed = parseConfig(env, random)
        if (Result.isSuccess(parsed)) return
        assert.isAbove(parsed.failure.problems.length, 0)
        for (const problem of parsed.failure.problems) {
          assert.isTrue(
            names.some((name) => problem.includes(name)),
            problem
          )
          assert.notInclude(problem, "\n")
        }
      }),
      { numRuns: 500 }
    )
  })
})
