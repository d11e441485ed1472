import { assert, describe, it } from "vitest"
import { examine } from "../../src/command/doctor/Examination.ts"
import type { DatabaseLook, DoctorFacts, SlotLook, StandbyFacts } from "../../src/command/doctor/Facts.ts"
import { checks } from "../../src/command/doctor/Finding.ts"
import { serverLsn } from "../../src/shared/Lsn.ts"
import { seen, unseen } from "../../src/command/doctor/Seen.ts"
import { faultCodes, faultTable } from "../../src/telemetry/faults/FaultTable.ts"

const slot: SlotLook = {
  info: {
    plugin: "pgoutput",
    temporary: false,
    ofThisDatabase: true,
    database: "app",
    activePid: 7,
    confirmedFlushLsn: serverLsn(10n, 0n),
    restartLsn: serverLsn(10n, 0n),
    walStatus: "reserved",
    invalidationReason: null,
    isFailover: null,
    walLsn: serverLsn(10n, 0n)
  },
  figures: {
    name: "s",
    walStatus: "reserved",
    activePid: 7,
    retainedWalBytes: 100,
    unconfirmedWalBytes: 0,
    safeWalBytes: 2 ** 30,
    maxSlotWalKeepBytes: 2 ** 30
  },
  openTransactions: []
}
const info = slot.info ?? assert.fail()
const figures = slot.figures ?? assert.fail()

const standbys: StandbyFacts = {
  isStandby: false,
  standbys: [],
  activeSlots: [],
  awaitedSlots: [],
  isReceiving: false,
  copiesSlots: false,
  givesFeedback: false,
  slotAtPrimary: "",
  conninfo: null,
  copied: undefined
}

const server = {
  versionNum: 180004,
  version: "18.4",
  walLevel: "logical",
  isInRecovery: false,
  role: "baton",
  database: "app",
  isReadOnly: false,
  encoding: "UTF8",
  clockAheadMillis: 3,
  maxSlots: 10,
  usedSlots: 1,
  maxSenders: 10,
  usedSenders: 1,
  maxConnections: 100,
  usedConnections: 5
}
const role = {
  isSuperuser: false,
  mayReplicate: true,
  mayCreate: true,
  connectionLimit: -1,
  deniedFunctions: [],
  deniedCatalogues: []
}
const publication = {
  role: "baton",
  isOurs: true,
  allTables: false,
  viaRoot: false,
  missingOperations: [],
  generatedColumns: "stored",
  serverVersionNum: 180004,
  listsElsewhere: false,
  generatedLeftOut: false
} as const
const rights = {
  oid: 1,
  schema: "public",
  name: "items",
  mayRead: true,
  mayUseSchema: true,
  isOwner: true,
  isFiltered: false
}
const identity = { oid: 1, schema: "public", name: "items", isFull: true, isUnlogged: false, refusals: [] }
const table = {
  oid: 1,
  schema: "public",
  name: "items",
  isMember: true,
  isMemberBySchema: false,
  isMemberByAncestor: false,
  isPartitioned: false,
  foreignPartition: null,
  isFiltered: false,
  identities: [identity]
}
const holder = {
  pid: 7,
  isHeld: true,
  role: "baton",
  applicationName: "baton",
  address: "10.0.0.1",
  since: "2026-01-01T00:00:00+00:00",
  isWalsender: true,
  state: "active",
  silentSeconds: 1
}
const database: DatabaseLook = {
  server: seen(server),
  role: seen(role),
  publication: seen(publication),
  tables: seen({ reader: "baton", rights: [rights], states: [table], areMore: false }),
  slot: seen(slot),
  lock: seen([holder]),
  standbys: seen(standbys)
}
const storage = {
  problem: undefined,
  exists: true,
  wasUsed: true,
  fileSystem: 0xef53,
  isLocal: true,
  freeBytes: 2 ** 40,
  diskBytes: 2 ** 41,
  level: 3,
  newestKnownLevel: 3,
  raisedBy: null
}
/** A service that runs, and nothing is wrong with it. */
const healthy: DoctorFacts = {
  wanted: {
    slotName: "s",
    publicationName: "p",
    temporarySlot: false,
    failoverSlot: true,
    manual: false,
    isReplica: false,
    poolSize: 20,
    storage: "file",
    storageDir: "/srv",
    maxStorageBytes: undefined
  },
  configWarnings: [],
  hasNoAddress: false,
  openFilesProblem: undefined,
  port: seen({ _tag: "Free" }),
  connections: { main: seen({ millis: 3 }), pooled: undefined, replication: seen(null) },
  database,
  storage: seen(storage),
  bucket: undefined,
  service: undefined,
  nowMillis: Date.parse("2026-01-01T00:10:00.000Z")
}

const inside = (changes: Partial<DatabaseLook>): DoctorFacts => ({
  ...healthy,
  database: { ...database, ...changes }
})
const slotIs = (changes: Partial<SlotLook>) => inside({ slot: seen({ ...slot, ...changes }) })
const tableIs = (changes: Partial<typeof rights>, state: object = {}, manual = false): DoctorFacts => ({
  ...inside({
    tables: seen({
      reader: "baton",
      rights: [{ ...rights, ...changes }],
      states: [{ ...table, ...state }],
      areMore: false
    })
  }),
  wanted: { ...healthy.wanted, manual }
})
const manual = (facts: DoctorFacts): DoctorFacts => ({ ...facts, wanted: { ...facts.wanted, manual: true } })
const storageIs = (changes: object) => ({ ...healthy, storage: seen({ ...storage, ...changes }) })

/** What an instance has said: what lasts, and what it said when. */
const said = (
  active: ReadonlyArray<string>,
  ...recent: ReadonlyArray<readonly [code: string, at: string]>
): DoctorFacts => {
  const words = { message: "It happened.", severity: "critical", advice: "wait", title: "t" } as const
  return {
    ...healthy,
    service: {
      url: "http://localhost:3000",
      faults: {
        active: active.map((code) => ({
          ...words,
          code,
          about: "",
          since: "2026-01-01T00:00:00.000Z",
          heals: ""
        })),
        recent: recent.map(([code, at]) => ({ ...words, code, at }))
      }
    }
  }
}

const following = { name: "standby", state: "streaming", slot: "here", hasFeedback: true }
const standbysAre = (changes: Partial<StandbyFacts>) =>
  inside({ standbys: seen({ ...standbys, ...changes }) })
const copied = { isSynced: true, isTemporary: false, invalidationReason: null }
const standbyIs = (changes: Partial<StandbyFacts>) =>
  standbysAre({
    isStandby: true,
    isReceiving: true,
    copiesSlots: true,
    givesFeedback: true,
    slotAtPrimary: "here",
    conninfo: "host=a dbname=postgres",
    copied,
    ...changes
  })

type Case = readonly [name: string, facts: DoctorFacts, finding: string, fix?: string]

/** The only finding that is not `ok`, as `level check code`, and what is to be run. */
const cases: ReadonlyArray<Case> = [
  [
    "wal_level",
    inside({ server: seen({ ...server, walLevel: "replica" }) }),
    "problem wal_level BATON-DB-WALLEVEL",
    "ALTER SYSTEM SET wal_level = logical;"
  ],
  [
    "an old server",
    inside({ server: seen({ ...server, versionNum: 130000 }) }),
    "problem server BATON-DB-SETUP"
  ],
  [
    "a standby",
    inside({ server: seen({ ...server, isInRecovery: true }) }),
    "problem connection BATON-DB-READONLY"
  ],
  [
    "a read-only database",
    inside({ server: seen({ ...server, isReadOnly: true }) }),
    "problem connection BATON-DB-READONLY",
    "ALTER DATABASE app SET default_transaction_read_only = off;"
  ],
  [
    "no slot left, and none of ours",
    {
      ...inside({
        server: seen({ ...server, usedSlots: 10 }),
        slot: seen({ ...slot, info: undefined, figures: undefined }),
        lock: seen([])
      }),
      storage: seen({ ...storage, wasUsed: false })
    },
    "problem limits BATON-DB-RESOURCES",
    "ALTER SYSTEM SET max_replication_slots = 15;"
  ],
  [
    "no walsender left beside an instance",
    inside({ server: seen({ ...server, usedSenders: 10 }) }),
    "advice limits BATON-DB-RESOURCES",
    "ALTER SYSTEM SET max_wal_senders = 15;"
  ],
  [
    "few connections left",
    inside({ server: seen({ ...server, usedConnections: 95 }) }),
    "advice limits BATON-DB-RESOURCES"
  ],
  ["another clock", inside({ server: seen({ ...server, clockAheadMillis: -9000 }) }), "advice clock"],
  [
    "a role that may not replicate",
    {
      ...inside({ role: seen({ ...role, mayReplicate: false }) }),
      connections: { ...healthy.connections, replication: unseen("no", "BATON-DB-REPLICATION") }
    },
    "problem role BATON-DB-REPLICATION",
    'ALTER ROLE "baton" REPLICATION;'
  ],
  [
    "a function that is denied",
    inside({ role: seen({ ...role, deniedFunctions: ["pg_log_standby_snapshot()"] }) }),
    "advice role BATON-SLOT-HELP",
    'GRANT EXECUTE ON FUNCTION pg_log_standby_snapshot() TO "baton";'
  ],
  [
    "a catalogue that is denied",
    inside({ role: seen({ ...role, deniedCatalogues: ["pg_locks"] }) }),
    "problem role BATON-DB-PRIVILEGE",
    'GRANT SELECT ON "pg_catalog"."pg_locks" TO "baton";'
  ],
  [
    "a publication that is gone",
    inside({ publication: seen(undefined) }),
    "problem publication BATON-PUBLICATION-MISSING"
  ],
  [
    "no publication, and no right to make one",
    inside({ publication: seen(undefined), role: seen({ ...role, mayCreate: false }) }),
    "problem publication BATON-DB-SETUP",
    'GRANT CREATE ON DATABASE "app" TO "baton";'
  ],
  [
    "no publication where tables are published by hand",
    manual({ ...inside({ publication: seen(undefined) }), storage: seen({ ...storage, wasUsed: false }) }),
    "advice publication BATON-TABLE-UNPUBLISHED"
  ],
  [
    "operations left out, by somebody else's publication",
    manual(inside({ publication: seen({ ...publication, missingOperations: ["truncate"] }) })),
    "problem publication BATON-PUBLICATION-ALTERED"
  ],
  [
    "a table that may not be read",
    tableIs({ mayRead: false }),
    "problem tables BATON-TABLE-PRIVILEGE",
    'GRANT SELECT ON "public"."items" TO "baton";'
  ],
  [
    "row level security",
    tableIs({ isFiltered: true, isOwner: false }),
    "problem tables BATON-TABLE-PRIVILEGE",
    'ALTER ROLE "baton" BYPASSRLS;'
  ],
  [
    "row level security that is forced on the owner",
    tableIs({ isFiltered: true }),
    "problem tables BATON-TABLE-PRIVILEGE",
    'ALTER TABLE "public"."items" NO FORCE ROW LEVEL SECURITY;'
  ],
  [
    "a table of another owner that is not published",
    tableIs({ isOwner: false }, { isMember: false }),
    "advice tables BATON-TABLE-OWNER",
    'ALTER TABLE "public"."items" OWNER TO "baton";'
  ],
  [
    "an identity that is not full, published by hand",
    tableIs({}, { identities: [{ ...identity, isFull: false }] }, true),
    "problem tables BATON-TABLE-IDENTITY",
    'ALTER TABLE "public"."items" REPLICA IDENTITY FULL;'
  ],
  [
    "a column list of another publication",
    tableIs(
      {},
      { identities: [{ ...identity, refusals: [{ kind: "columnList", by: "other", listed: null }] }] }
    ),
    "problem tables BATON-TABLE-UNFIT"
  ],
  [
    "generated columns that somebody else's publication leaves out",
    tableIs(
      {},
      { identities: [{ ...identity, refusals: [{ kind: "storedColumn", by: "other", listed: null }] }] }
    ),
    "problem tables BATON-TABLE-UNFIT"
  ],
  [
    "generated columns that a start lets the own publication carry",
    {
      ...tableIs(
        {},
        { identities: [{ ...identity, refusals: [{ kind: "storedColumn", by: "p", listed: null }] }] }
      ),
      database: {
        ...(tableIs(
          {},
          { identities: [{ ...identity, refusals: [{ kind: "storedColumn", by: "p", listed: null }] }] }
        ).database ?? database),
        publication: seen({ ...publication, generatedColumns: "none" })
      }
    },
    "advice publication BATON-PUBLICATION-ALTERED"
  ],
  ["a row filter", tableIs({}, { isFiltered: true }), "problem publication BATON-TABLE-FILTERED"],
  ["a slot that is lost", slotIs({ info: { ...info, walStatus: "lost" } }), "problem slot BATON-SLOT-LOST"],
  [
    "a slot of another plugin",
    slotIs({ info: { ...info, plugin: "test_decoding" } }),
    "problem slot BATON-DB-SETUP"
  ],
  [
    "a slot that is gone",
    inside({ slot: seen({ ...slot, info: undefined, figures: undefined }), lock: seen([]) }),
    "problem slot BATON-SLOT-MISSING"
  ],
  [
    "a slot that is being made",
    slotIs({
      info: { ...info, confirmedFlushLsn: null },
      openTransactions: [{ pid: 9, role: "app", ageSeconds: 60 }]
    }),
    "problem slot BATON-SLOT-WAITS",
    "SELECT pg_terminate_backend(9);"
  ],
  [
    "another program on the slot",
    inside({ lock: seen([]) }),
    "problem slot BATON-SLOT-INUSE",
    "SELECT * FROM pg_stat_activity WHERE pid = 7;"
  ],
  [
    "a slot that keeps too much",
    slotIs({ figures: { ...figures, retainedWalBytes: 2 ** 29 + 1 } }),
    "advice slot BATON-SLOT-BUDGET"
  ],
  [
    "a slot that is lost at the next checkpoint",
    slotIs({ figures: { ...figures, walStatus: "unreserved" } }),
    "problem slot BATON-SLOT-BUDGET"
  ],
  [
    "a stream that is behind",
    slotIs({ figures: { ...figures, unconfirmedWalBytes: 2 ** 31 } }),
    "advice slot BATON-STREAM-WAITS",
    "SELECT pg_drop_replication_slot('s');"
  ],
  [
    "a holder of the lock that is silent",
    inside({
      slot: seen({ ...slot, info: { ...info, activePid: null } }),
      lock: seen([{ ...holder, state: "idle", silentSeconds: 300 }])
    }),
    "problem lock BATON-LOCK-BROKEN",
    "SELECT pg_terminate_backend(7);"
  ],
  [
    "a holder of the lock that cannot be seen",
    inside({
      slot: seen({ ...slot, info: { ...info, activePid: null } }),
      lock: seen([{ ...holder, state: null }])
    }),
    "advice lock BATON-LOCK-INVISIBLE",
    'GRANT pg_read_all_stats TO "baton";'
  ],
  [
    "a directory that cannot be written",
    storageIs({ problem: { message: "EACCES", isPath: false } }),
    "problem storage BATON-STORAGE-UNWRITABLE"
  ],
  [
    "a file in place of a directory",
    storageIs({ problem: { message: "EEXIST", isPath: true } }),
    "problem storage BATON-STORAGE-UNUSABLE"
  ],
  ["a full disk", storageIs({ freeBytes: 4096 }), "problem storage BATON-STORAGE-WRITE"],
  [
    "a limit above what the disk has",
    { ...healthy, wanted: { ...healthy.wanted, maxStorageBytes: 2 ** 42 } },
    "advice storage"
  ],
  ["NFS", storageIs({ isLocal: false, fileSystem: 0x6969 }), "advice storage BATON-STORAGE-LATE"],
  ["a newer release", storageIs({ level: 9, raisedBy: "9.0.0" }), "problem storage BATON-STORAGE-NEWER"],
  [
    "a bucket",
    { ...healthy, bucket: unseen("no", "BATON-BUCKET-START") },
    "problem bucket BATON-BUCKET-START"
  ],
  [
    "a port that is taken",
    { ...healthy, port: seen({ _tag: "Taken", answers: undefined }) },
    "problem configuration BATON-START-PORT",
    "ELECTRIC_PORT"
  ],
  [
    "a fault that an instance has told, and that is over",
    said(
      [],
      ["BATON-SLOT-MISSING", "2026-01-01T00:05:00.000Z"],
      ["BATON-SLOT-MISSING", "2026-01-01T00:04:00.000Z"]
    ),
    "advice slot BATON-SLOT-MISSING"
  ],
  [
    "a fault that lasts, and one of long ago",
    said(["BATON-BUCKET-WRITE"], ["BATON-SHAPE-LOG", "2025-01-01T00:00:00.000Z"]),
    "problem bucket BATON-BUCKET-WRITE",
    "wait"
  ],
  [
    "a fault that no check is of",
    said([], ["BATON-SHAPE-SNAPSHOT", "2026-01-01T00:05:00.000Z"]),
    "advice service BATON-SHAPE-SNAPSHOT"
  ],
  [
    "a standby that is waited for and not there",
    standbysAre({ awaitedSlots: ["here", "away"], activeSlots: ["here"] }),
    "problem failover BATON-STREAM-SILENT",
    "ALTER SYSTEM SET synchronized_standby_slots = 'here'; SELECT pg_reload_conf();"
  ],
  [
    "a standby that nobody waits for",
    standbysAre({ standbys: [following], activeSlots: ["here"] }),
    "advice failover",
    "ALTER SYSTEM SET synchronized_standby_slots = 'here'; SELECT pg_reload_conf();"
  ],
  ["a standby without a slot", standbysAre({ standbys: [{ ...following, slot: null }] }), "advice failover"],
  [
    "a standby without feedback",
    standbysAre({
      standbys: [{ ...following, hasFeedback: false }],
      activeSlots: ["here"],
      awaitedSlots: ["here"]
    }),
    "advice failover"
  ],
  [
    "a slot that standbys are not given",
    inside({
      slot: seen({ ...slot, info: { ...info, isFailover: false } }),
      standbys: seen({ ...standbys, standbys: [following], activeSlots: ["here"], awaitedSlots: ["here"] })
    }),
    "advice failover BATON-SLOT-FAILOVER"
  ],
  ["a standby that copies no slots", standbyIs({ copiesSlots: false }), "advice failover"],
  ["a standby that gives no feedback", standbyIs({ givesFeedback: false }), "advice failover"],
  ["a standby without a slot at its primary", standbyIs({ slotAtPrimary: "" }), "advice failover"],
  ["a standby that names no database", standbyIs({ conninfo: "host=a" }), "advice failover"],
  ["a standby without the slot", standbyIs({ copied: undefined }), "advice failover BATON-SLOT-FAILOVER"],
  [
    "a standby that is copying the slot",
    standbyIs({ copied: { ...copied, isTemporary: true } }),
    "advice failover"
  ],
  [
    "a standby whose copy is invalid",
    standbyIs({ copied: { ...copied, invalidationReason: "rows_removed" } }),
    "problem failover BATON-SLOT-LOST"
  ],
  ["a standby that receives nothing", standbyIs({ isReceiving: false }), "problem failover"],
  [
    "no answer to one look",
    inside({ lock: unseen("late", "BATON-DB-UNREACHABLE") }),
    "problem connection BATON-DB-UNREACHABLE"
  ]
]

describe("what doctor makes of what it has seen", () => {
  it("finds nothing wrong with a service that is well, and says what a start would do", () => {
    const { findings, start, status } = examine(healthy)
    assert.deepStrictEqual(
      findings.filter(({ level }) => level !== "ok"),
      []
    )
    assert.strictEqual(status, 0)
    assert.match(start.join("\n"), /^Wait for the lock/)
  })

  it.each(cases.map(([name, facts, expected, fix]) => ({ name, facts, expected, fix })))("$name", (one) => {
    const { expected, facts, fix } = one
    const { findings, status } = examine(facts)
    const wrong = findings.filter(({ level }) => level !== "ok")
    assert.deepStrictEqual(
      wrong.map(({ check, code, level }) => [level, check, ...(code === undefined ? [] : [code])].join(" ")),
      [expected],
      JSON.stringify(wrong)
    )
    assert.strictEqual(wrong[0]?.fix, fix ?? wrong[0]?.fix)
    assert.strictEqual(status, expected.startsWith("problem") ? 1 : 0)
    for (const { text } of findings) assert.match(text, /[.;]$|EACCES|EEXIST|late|no/)
  })

  it("tells tables of one kind together, and names five of them", () => {
    const many = Array.from({ length: 9 }, (_, n) => ({ ...rights, oid: n, name: `t${n}`, mayRead: false }))
    const { findings } = examine(
      inside({ tables: seen({ reader: "baton", rights: many, states: [], areMore: false }) })
    )
    const [told, ...more] = findings.filter(({ level }) => level !== "ok")
    assert.deepStrictEqual(more, [])
    assert.match(told?.text ?? "", /public\.t0.*public\.t4 and 4 more/)
    assert.strictEqual(told?.fix?.split("\n").length, 5)
  })

  it("has every check that the table of faults names", () => {
    const named = faultCodes.flatMap((code) => faultTable[code].doctor ?? [])
    assert.deepStrictEqual(
      named.filter((check) => !checks.some((known) => known === check)),
      []
    )
  })
})
