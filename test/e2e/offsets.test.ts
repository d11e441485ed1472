import type pg from "pg"
import { assert, describe, it, onTestFinished } from "vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { startService } from "../../testing/services/Service.ts"
import { type LogMessage, requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const db = databaseForFile()

/** One change that the log must tell of: what happened to which row. */
type Change = readonly [operation: string, id: string, version: string]

const row = "'" + "x".repeat(40) + "'"

/**
 * Transactions in three sessions at once, each on rows of its own, one statement after the other: so that the order of
 * their commits, which is the order of the log, is known. Returns the changes in that order, by transaction.
 */
const interleaved = async (
  sessions: ReadonlyArray<pg.Client>,
  transactions: number,
  random: Random
): Promise<ReadonlyArray<ReadonlyArray<Change>>> => {
  const committed: Array<ReadonlyArray<Change>> = []
  const rows = sessions.map(() => new Map<number, number>())
  const open = sessions.map(
    (): { changes: Array<Change>; rows: Map<number, number> } | undefined => undefined
  )
  const next = sessions.map((_, i) => 1000 * (i + 1))
  while (committed.length < transactions) {
    const i = random.int(0, sessions.length - 1)
    const session = sessions[i]
    const before = rows[i]
    if (session === undefined || before === undefined) throw new Error("no such session")
    const current = open[i]
    if (current === undefined) {
      await session.query("BEGIN")
      open[i] = { changes: [], rows: new Map(before) }
      continue
    }
    if (current.changes.length > 0 && random.chance(0.4)) {
      const commits = random.chance(0.85)
      await session.query(commits ? "COMMIT" : "ROLLBACK")
      open[i] = undefined
      if (!commits) continue
      rows[i] = current.rows
      committed.push(current.changes)
      continue
    }
    const ids = [...current.rows.keys()]
    const id = ids.length === 0 ? 0 : random.pick(ids)
    const version = current.rows.get(id) ?? 0
    const kind =
      ids.length === 0 ? "insert" : random.pick(["insert", "insert", "update", "update", "delete", "key"])
    if (kind === "insert") {
      const created = (next[i] = (next[i] ?? 0) + 1)
      await session.query(`INSERT INTO log_table VALUES (${created}, 0, ${row})`)
      current.rows.set(created, 0)
      current.changes.push(["insert", String(created), "0"])
    } else if (kind === "update") {
      await session.query(`UPDATE log_table SET v = v + 1 WHERE id = ${id}`)
      current.rows.set(id, version + 1)
      current.changes.push(["update", String(id), String(version + 1)])
    } else if (kind === "delete") {
      await session.query(`DELETE FROM log_table WHERE id = ${id}`)
      current.rows.delete(id)
      current.changes.push(["delete", String(id), String(version)])
    } else {
      const moved = (next[i] = (next[i] ?? 0) + 1)
      await session.query(`UPDATE log_table SET id = ${moved}, v = v + 1 WHERE id = ${id}`)
      current.rows.delete(id)
      current.rows.set(moved, version + 1)
      current.changes.push(
        ["delete", String(id), String(version)],
        ["insert", String(moved), String(version + 1)]
      )
    }
  }
  for (const session of sessions) await session.query("ROLLBACK")
  return committed
}

const changeOf = (message: LogMessage): Change => [
  message.headers.operation ?? "",
  message.value?.["id"] ?? "",
  message.value?.["v"] ?? ""
]

const isChange = (message: LogMessage) => message.headers.operation !== undefined

describe("offsets", () => {
  it(
    "each continues the log exactly where it stands, whatever the size of the chunks",
    { timeout: patient(180_000) },
    async () => {
      const seed = freshSeed()
      const random = makeRandom(seed)
      const storageDir = mkdtempSync(path.join(tmpdir(), "baton-offsets-"))
      onTestFinished(() => rmSync(storageDir, { recursive: true, force: true }))
      await db().query(
        `CREATE TABLE log_table (id int PRIMARY KEY, v int NOT NULL, filler text);
       INSERT INTO log_table SELECT g, 0, ${row} FROM generate_series(1, 30) g`
      )
      const params = { table: "log_table", replica: "full" }
      const chunked = (bytes: number | undefined) =>
        startService({
          database: db(),
          storageDir,
          env: {
            ...(bytes === undefined ? {} : { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: String(bytes) }),
            BATON_JOURNAL_SEGMENT_BYTES: "4096"
          }
        })

      /** Everything in the log, in order, with the offset of each message; rows of the snapshot have none of their own. */
      const canonical: Array<{ readonly offset: string | undefined; readonly text: string }> = []
      const offsets = new Map<string, number>([["-1", 0]])
      let handle: string | undefined

      try {
        const first = await chunked(700)
        const reader = new ShapeLogReader({ url: first.url, params })
        await reader.readToEnd()
        const sessions = [await db().connect(), await db().connect(), await db().connect()]
        const writing = interleaved(sessions, 60, random)
        // One more change when all is done: the reader may have everything else already, and would wait for more.
        const ended = writing.then(() => db().query(`INSERT INTO log_table VALUES (0, 0, ${row})`))
        await reader.followUntil("the last transaction", () => reader.operations.at(-1)?.value["id"] === "0")
        await ended
        // Every operation once, in commit order, as the sessions have done them.
        const streamed = reader.responses
          .flatMap(({ messages }) => messages)
          .filter((m) => m.headers.lsn !== undefined)
        const marker: Change = ["insert", "0", "0"]
        const expected = [...(await writing), [marker]]
        assert.deepStrictEqual(streamed.map(changeOf), expected.flat())
        const byTransaction = Map.groupBy(streamed, ({ headers }) => headers.lsn)
        assert.deepStrictEqual(
          [...byTransaction.values()].map((messages) => messages.map(changeOf)),
          expected
        )

        for (const response of reader.responses) {
          for (const message of response.messages.filter(isChange)) {
            const { lsn, op_position: op } = message.headers
            const offset = lsn === undefined ? undefined : `${lsn}_${op}`
            canonical.push({ offset, text: JSON.stringify(message) })
            if (offset !== undefined) offsets.set(offset, canonical.length)
          }
          offsets.set(response.offset ?? "", canonical.length)
        }
        handle = reader.position.handle
        assert.isAbove(offsets.size, 80)
        await first.dispose()

        for (const bytes of [1, 300, 5000, undefined]) {
          const service = await chunked(bytes)
          try {
            for (const [offset, at] of offsets) {
              const answer = await requestLog(service.url, params, { offset, handle })
              const where = `${answer.request.search} with chunks of ${bytes} bytes`
              assert.strictEqual(answer.status, 200, where)
              const texts = answer.messages.filter(isChange).map((message) => JSON.stringify(message))
              assert.deepStrictEqual(
                texts,
                canonical.slice(at, at + texts.length).map(({ text }) => text),
                where
              )
              const end = at + texts.length
              if (texts.length === 0 && !answer.isUpToDate) {
                // Only a chunk of the snapshot can be without rows, and then the place moves on.
                assert.notStrictEqual(answer.offset, offset, where)
                assert.match(answer.offset ?? "", /^0_/, where)
              }
              assert.strictEqual(answer.isUpToDate, end === canonical.length && offset !== "-1", where)
              const last = canonical[end - 1]
              if (texts.length > 0 && last?.offset !== undefined)
                assert.strictEqual(answer.offset, last.offset, where)
            }
            const whole = new ShapeLogReader({ url: service.url, params })
            await whole.readToEnd()
            const texts = whole.responses.flatMap(({ messages }) =>
              messages.filter(isChange).map((m) => JSON.stringify(m))
            )
            assert.deepStrictEqual(
              texts,
              canonical.map(({ text }) => text)
            )
            // A place inside the snapshot that a later version would cut elsewhere still leads to all of the log.
            const beyond = new ShapeLogReader({
              url: service.url,
              params,
              from: { offset: "0_1000", handle }
            })
            await beyond.readToEnd()
            assert.strictEqual(beyond.operations.length, streamed.length)
          } finally {
            await service.dispose()
          }
        }
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error })
      }
    }
  )
})
