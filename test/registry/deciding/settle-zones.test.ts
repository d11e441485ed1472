import { Effect, Logger, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { classifyPgError } from "../../../src/postgres/errors/ClassifyPgError.ts"
import { ownPgError, type PgError } from "../../../src/postgres/errors/PgError.ts"
import { settleZones } from "../../../src/registry/deciding/SettleZones.ts"
import { makeClauseMatcher } from "../../../src/registry/routing/Matcher.ts"
import { standardLimits } from "../../../src/config/Limits.ts"
import {
  type AskingQuery,
  CheckedZones,
  clearMatchList,
  compileWhere,
  loadParser,
  makeMatchList
} from "../../../src/where/index.ts"
import { type ZoneTable, zoneTable } from "../../../src/where/zones/ZoneTable.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"
import { type Oracle, oracleOver } from "../../where/support/oracle.ts"

let database: TestDatabase
let places: Oracle
beforeAll(async () => {
  await Effect.runPromise(loadParser)
  database = await createDatabase()
  places = await oracleOver(
    database,
    "places",
    "CREATE TABLE places (id int PRIMARY KEY, at timestamptz, zone text)"
  )
})
afterAll(() => database.drop())

const inPostgres: AskingQuery<PgError> = (sql, parameters) =>
  Effect.tryPromise({ try: () => database.query(sql, parameters), catch: (error) => classifyPgError(error) })

/** Settles everything that was looked for; what is logged as a warning meanwhile. */
const settle = async (zones: CheckedZones, query = inPostgres): Promise<ReadonlyArray<string>> => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") lines.push(String(message))
  })
  await Effect.runPromise(Effect.provide(settleZones(zones, query), Logger.layer([logger])))
  return lines
}

/** Shape 1 has the condition: whether the row belongs to it, as far as that can be told here. */
const matching = (zones: CheckedZones, where: string) => {
  const compiled = Result.getOrThrow(
    compileWhere({ table: places.table.info, catalogue: places.catalogue, sql: where, params: {} })
  )
  const matcher = makeClauseMatcher(standardLimits, zones)(places.table.columns)
  assert.isTrue(matcher.add(1, compiled))
  const out = makeMatchList()
  return (at: string, zone: string | null = null): boolean | undefined => {
    clearMatchList(out)
    matcher.match(tupleOf(["1", at, zone]), out)
    return out.undecided.length > 0 ? undefined : out.count > 0
  }
}

/** As it was before somebody moved the change that came last before 2027 by a day. */
const moved = (name: string): ZoneTable | undefined => {
  const table = zoneTable(name)
  if (table === undefined) return undefined
  const last = table.starts.findLastIndex((start) => start < 1798761600)
  return { ...table, starts: table.starts.map((start, i) => (i === last ? start + 86400 : start)) }
}

const inBerlin = "at AT TIME ZONE 'Europe/Berlin' >= '2024-07-01 00:00'"

describe("time zones whose rules were compared with those of Postgres", () => {
  it("are evaluated here from then on, and by Postgres before", async () => {
    const zones = new CheckedZones()
    const matches = matching(zones, inBerlin)
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    assert.deepStrictEqual(await settle(zones), [])
    assert.isTrue(matches("2024-06-30 22:00:00+00"))
    assert.isFalse(matches("2024-06-30 21:59:59+00"))
    zones.forget()
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
  })

  it("stay with Postgres, and the log says why, where the rules differ", async () => {
    const zones = new CheckedZones(moved)
    const matches = matching(zones, inBerlin)
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    const [line, ...more] = await settle(zones)
    assert.match(
      line ?? "",
      /other rules for the time zone europe\/berlin than Node .*2026-10-26T00:59:59.000Z it is UTC\+1 h there, and UTC\+2 h here/
    )
    assert.isEmpty(more)
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    assert.deepStrictEqual(await settle(zones), [], "it is not compared again")
  })

  it("are those of the row, where the row names one", async () => {
    const zones = new CheckedZones((name) => (name === "asia/tokyo" ? zoneTable(name) : moved(name)))
    const matches = matching(zones, "(at AT TIME ZONE zone)::date = '2024-07-01'")
    for (const zone of ["Asia/Tokyo", "America/New_York", "Mars/Base"])
      assert.isUndefined(matches("2024-06-30 15:00:00+00", zone))
    while ((await settle(zones)).length > 0);
    assert.isTrue(matches("2024-06-30 15:00:00+00", "Asia/Tokyo"))
    assert.isUndefined(matches("2024-06-30 15:00:00+00", "America/New_York"))
    assert.isUndefined(matches("2024-06-30 15:00:00+00", "Mars/Base"))
    assert.isFalse(matches("2024-06-30 15:00:00+00", "UTC"))
    assert.isUndefined(zones.next())
  })

  it("are not computed for good from constants, which is before anybody could compare them", () => {
    const zones = new CheckedZones()
    const matches = matching(zones, "at >= '2024-07-01 00:00'::timestamp AT TIME ZONE 'Europe/Berlin'")
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    assert.strictEqual(zones.next()?.name, "europe/berlin")
    const inUtc = matching(zones, "at >= '2024-07-01 00:00'::timestamp AT TIME ZONE 'UTC'")
    assert.isTrue(inUtc("2024-07-01 00:00:00+00"))
  })

  it("are settled when Postgres does not know them, and come again when it could not be asked", async () => {
    const zones = new CheckedZones(() => zoneTable("Asia/Tokyo"))
    const inPostgresOnly = matching(zones, "at AT TIME ZONE 'Mars/Base' > '2024-01-01'")
    assert.isUndefined(inPostgresOnly("2024-06-30 15:00:00+00"))
    await settle(zones)
    assert.isUndefined(inPostgresOnly("2024-06-30 15:00:00+00"))
    assert.isUndefined(zones.next())

    const later = new CheckedZones()
    const matches = matching(later, inBerlin)
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    assert.strictEqual(later.next()?.name, "europe/berlin")
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    assert.isUndefined(later.next(), "it is compared once at a time")
    later.over("europe/berlin")
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    await settle(later, () => Effect.fail(ownPgError("connection_closed", "The connection was lost")))
    assert.isUndefined(matches("2024-06-30 22:00:00+00"))
    await settle(later)
    assert.isTrue(matches("2024-06-30 22:00:00+00"))
  })
})
