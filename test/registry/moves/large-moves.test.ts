import { assert, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../../testing/Eventually.ts"
import { patient } from "../../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { connectForText } from "../../../testing/postgres/RowText.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import { type LogMessage, requestLog } from "../../../testing/readers/ShapeLog.ts"
import { startService } from "../../../testing/services/Service.ts"

const rows = 1500

/** A key whose parts differ in length, one without a key and with equal rows, and one that asks through a third table. */
const tables = `
  CREATE TABLE links (usr int, team int, PRIMARY KEY (usr, team));
  CREATE TABLE teams (id int PRIMARY KEY, region int);
  CREATE TABLE docs (code text, part bigint, team int, title text, PRIMARY KEY (code, part));
  CREATE TABLE events (team int, what text, how numeric);
  INSERT INTO teams SELECT n, n % 3 FROM generate_series(0, 9) n;
  INSERT INTO docs SELECT left('häßlich' || n % 70, 3 + n % 7), n, n % 5, 'doc ' || n FROM generate_series(1, ${rows}) n;
  INSERT INTO events SELECT n % 4, CASE WHEN n % 5 > 0 THEN repeat('w', n % 9) END, nullif(n % 6, 0) FROM generate_series(1, ${rows}) n`

const shapes = [
  { table: "docs", where: "team IN (SELECT team FROM links WHERE usr = 1)" },
  { table: "docs", where: "team NOT IN (SELECT team FROM links WHERE usr = 1)" },
  { table: "events", where: "team IN (SELECT team FROM links WHERE usr = 1)" },
  { table: "docs", where: "team IN (SELECT id FROM teams WHERE region IN (SELECT team FROM links))" }
] as const

const columns = { docs: "code, part, team, title", events: "team, what, how" }

/** All messages with rows, in their order, until it has seen everything up to `lsn`. */
const readTo = async (url: string, params: Readonly<Record<string, string>>, lsn: bigint) => {
  const messages: Array<LogMessage> = []
  let position: { readonly offset: string; readonly handle?: string } = { offset: "-1" }
  await eventually(`all changes of ${params["table"]}`, async () => {
    const { handle, isUpToDate, messages: more, offset, status } = await requestLog(url, params, position)
    assert.strictEqual(status, 200)
    messages.push(...more.filter(({ headers }) => headers.operation !== undefined))
    position = { offset: offset ?? "", handle: handle ?? "" }
    const seen = more.at(-1)?.headers["global_last_seen_lsn"]
    return (isUpToDate && BigInt(String(seen ?? 0)) >= lsn) || undefined
  })
  return messages
}

/** How often each row is there, for a client that counts. */
const countsOf = (messages: ReadonlyArray<LogMessage>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { headers, key = "" } of messages) {
    const change = { insert: 1, update: 0, delete: -1 }[headers.operation ?? "update"]
    const count = (counts.get(key) ?? 0) + change
    if (count === 0) counts.delete(key)
    else counts.set(key, count)
  }
  return counts
}

const follow = async (database: TestDatabase, streamId: string, env: Readonly<Record<string, string>>) => {
  const service = await startService({
    database,
    env: { ELECTRIC_REPLICATION_STREAM_ID: streamId, ...env }
  })
  onTestFinished(service.dispose)
  const firstRows = await Promise.all(shapes.map((params) => readTo(service.url, params, 0n)))
  return {
    until: async (lsn: bigint) => Promise.all(shapes.map((params) => readTo(service.url, params, lsn))),
    firstRows: firstRows.map(({ length }) => length)
  }
}

describe("moves of more rows than memory may hold", () => {
  it(
    "are the same changes at the same places as of fewer, while others write",
    { timeout: patient(60_000) },
    async () => {
      const database = await createDatabase()
      onTestFinished(() => database.drop())
      await database.query(tables)
      const seed = freshSeed()
      const random = makeRandom(seed)
      const small = await follow(database, "small", { BATON_MAX_MOVE_MEMORY: "50KB" })
      const large = await follow(database, "large", {})
      const session = await connectForText(database.url)
      const other = await database.connect()
      for (let round = 0; round < 8; round++) {
        const team = random.int(0, 4)
        const others = other.query(
          `UPDATE docs SET title = title || '.', team = (team + part) % 5 WHERE part % 50 = ${random.int(0, 49)};
           DELETE FROM events WHERE ctid IN (SELECT ctid FROM events LIMIT 5);
           INSERT INTO events SELECT ${random.int(0, 3)}, 'w', 1 FROM generate_series(1, 5)`
        )
        await session.query(
          random.pick([
            `INSERT INTO links VALUES (1, ${team}) ON CONFLICT DO NOTHING`,
            `DELETE FROM links WHERE team = ${team}`,
            `UPDATE teams SET region = (region + 1) % 3 WHERE id = ${team}`,
            `BEGIN; DELETE FROM links; INSERT INTO links VALUES (1, ${team}), (1, ${(team + 1) % 5}), (2, ${team});
             UPDATE docs SET team = ${team} WHERE part % 40 = ${random.int(0, 39)}; COMMIT`
          ])
        )
        await others
      }
      const { rows: at } = await session.query<{ lsn: string }>(
        "SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn"
      )
      await session.query("SELECT pg_logical_emit_message(true, 'end', '')")
      const end = BigInt(at[0]?.lsn ?? "0")
      const [fromSmall, fromLarge] = await Promise.all([small.until(end), large.until(end)])
      for (const [i, { table, where }] of shapes.entries()) {
        const [expected] = (
          await session.query<{ all: string; different: string }>(
            `SELECT count(*) AS all, count(DISTINCT (${columns[table]})) AS different FROM ${table} WHERE ${where}`
          )
        ).rows
        const said = `${table} WHERE ${where}, seed ${seed}`
        const counts = countsOf(fromSmall[i] ?? [])
        assert.strictEqual(counts.size, Number(expected?.different), said)
        const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
        assert.strictEqual(all, Number(expected?.all), said)
        const [first, second] = [
          fromSmall[i]?.slice(small.firstRows[i]),
          fromLarge[i]?.slice(large.firstRows[i])
        ]
        assert.deepStrictEqual(first, second, said)
      }
      await session.end()
      assert.isAbove(fromSmall.flat().length, 2 * rows, `seed ${seed}`)
    }
  )
})
