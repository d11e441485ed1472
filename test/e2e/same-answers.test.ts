import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { everyType, ownTypes, valueFor } from "../../testing/postgres/EveryType.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { requestLog } from "../../testing/readers/ShapeLog.ts"
import { keptReleases, type OldRelease, unpackRelease } from "../../testing/releases/Releases.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"

type Params = Readonly<Record<string, string>>

/** One answer as clients and caches keep it, with the question. */
interface Recorded {
  readonly params: Params
  readonly offset: string
  readonly handle: string | undefined
  readonly status: number
  readonly headers: Readonly<Record<string, string | null>>
  readonly body: string
}

/** What caches and clients go by. */
const kept = [
  "etag",
  "cache-control",
  "electric-handle",
  "electric-offset",
  "electric-schema",
  "electric-up-to-date"
]

const shapes: ReadonlyArray<Params> = [
  { table: "typed" },
  { table: "typed", columns: "id,c0,c1" },
  { table: "typed", where: "id % 2 = 0", replica: "full" },
  { table: "big" },
  { table: "big", where: "id > $1 AND body LIKE 'a%'", "params[1]": "20" },
  { table: "big", where: "body ~ '^[a-f]' OR id IN (1, 2, 3)", columns: "id" },
  { table: "big", where: "to_tsvector('simple', body) @@ 'b'", replica: "full" },
  { table: '"Odd ""Names"""', columns: '"Key","a b"' },
  { table: "parted" }
]

const literal = (value: string | null, type: string): string =>
  value === null ? "NULL" : `'${value.replaceAll("'", "''")}'::${type}`

const makeTables = async (database: TestDatabase, seed: number): Promise<void> => {
  const random = makeRandom(seed)
  const known = await database.query<{ typname: string }>("SELECT typname FROM pg_type")
  const names = new Set(known.map(({ typname }) => `"${typname}"`))
  // Some types are of newer versions of Postgres; those without quotes are in all of them.
  const typed = everyType.filter(({ type }) => !type.startsWith('"') || names.has(type))
  const columns = typed.map((column, i) => `c${i} ${column.type}`)
  const row = (id: number) =>
    `(${id}, ${typed.map((column) => literal(valueFor(random, column), column.type)).join(", ")})`
  await database.query(`${ownTypes};
    CREATE TABLE typed (id int PRIMARY KEY, ${columns.join(", ")});
    CREATE TABLE big (id int PRIMARY KEY, body text);
    CREATE TABLE "Odd ""Names""" ("Key" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "a b" text DEFAULT 'x');
    CREATE TABLE parted (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
    CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (50);
    CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (50) TO (1000);
    INSERT INTO big SELECT i, chr(97 + i % 8) || repeat('x', 3000) FROM generate_series(1, 400) i;
    INSERT INTO "Odd ""Names""" DEFAULT VALUES;
    INSERT INTO parted SELECT i, i FROM generate_series(1, 99) i;
    INSERT INTO typed VALUES ${Array.from({ length: 6 }, (_, i) => row(i)).join(", ")}`)
}

const change = async (database: TestDatabase, round: number): Promise<void> => {
  await database.query(`BEGIN;
    UPDATE big SET body = chr(97 + (id + ${round}) % 8) || repeat('y', 2000) WHERE id % 5 = ${round % 5};
    DELETE FROM big WHERE id = ${10 + round};
    INSERT INTO big VALUES (${1000 + round}, 'a new one');
    UPDATE parted SET id = id + 100 WHERE id = ${20 + round};
    UPDATE "Odd ""Names""" SET "a b" = '${round}';
    COMMIT`)
  await database.query(`UPDATE typed SET id = id + 10 WHERE id % 10 = ${round % 6}`)
}

const ask = async (
  { url }: TestService,
  { params, offset, handle }: Pick<Recorded, "params" | "offset" | "handle">
): Promise<Recorded & { readonly isUpToDate: boolean }> => {
  const answer = await requestLog(url, params, { offset, handle })
  return {
    params,
    offset,
    handle,
    status: answer.status,
    // An answer that says only that there is nothing new has a name of its own each time.
    headers: Object.fromEntries(
      kept.map((name) => [name, answer.headers.get(name)?.replace(/:\d{16}"$/, '"') ?? null])
    ),
    // What has been seen of the database's log goes on, also while nothing of these tables happens.
    body: answer.body.replace(/"global_last_seen_lsn":"\d+"/, ""),
    isUpToDate: answer.isUpToDate
  }
}

/** Reads each shape from its beginning to its end, and what its clients might ask besides. */
const record = async (service: TestService): Promise<ReadonlyArray<Recorded>> => {
  const answers: Array<Recorded> = []
  for (const params of shapes) {
    let position: { readonly offset: string; readonly handle: string | undefined } = {
      offset: "-1",
      handle: undefined
    }
    for (;;) {
      const answer = await ask(service, { params, ...position })
      assert.strictEqual(answer.status, 200, answer.body)
      answers.push(answer)
      if (answer.isUpToDate) break
      position = {
        offset: answer.headers["electric-offset"] ?? "",
        handle: answer.headers["electric-handle"] ?? undefined
      }
    }
    answers.push(await ask(service, { params, offset: "-1", handle: "1-2" }))
    answers.push(await ask(service, { params, offset: "now", handle: undefined }))
  }
  return answers
}

const mark = (database: TestDatabase, round: number) =>
  database.query(`UPDATE parted SET v = ${-round} WHERE id = 1`)

/** Everything that was committed before the mark has been told by this instance. */
const caughtUp = async (service: TestService, round: number): Promise<void> => {
  await eventually("the last change", async () => {
    let position: { readonly offset: string; readonly handle?: string | undefined } = { offset: "-1" }
    for (;;) {
      const answer = await requestLog(service.url, { table: "parted" }, position)
      if (answer.body.includes(`"v":"${-round}"`)) return true
      if (answer.isUpToDate || answer.offset === null) return false
      position = { offset: answer.offset, handle: answer.handle ?? undefined }
    }
  })
}

const answerAlike = async (first: string | undefined, second: string | undefined) => {
  const seed = freshSeed()
  const database = await createDatabase()
  const storageDir = mkdtempSync(path.join(tmpdir(), "baton-same-"))
  const start = (entry: string | undefined, until: "active" | "waiting") =>
    startService({
      ...(entry === undefined ? {} : { entry }),
      database,
      storageDir,
      until,
      env: {
        // Caches may keep the beginning of rows for as long as before, where nothing takes their place.
        BATON_COMPACTION: "false",
        BATON_JOURNAL_SEGMENT_BYTES: String(2 ** 18),
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "100000",
        ...(entry === undefined ? { BATON_ROLLBACK_FLOOR: "0.1.0" } : {})
      }
    })
  onTestFinished(async () => {
    await database.drop()
    rmSync(storageDir, { recursive: true, force: true })
  })
  await makeTables(database, seed)
  const writer = await start(first, "active")
  onTestFinished(() => writer.dispose())
  await record(writer)
  for (let round = 0; round < 12; round++) await change(database, round)
  await mark(database, 1)
  await caughtUp(writer, 1)
  const recorded = await record(writer)
  assert.isAbove(recorded.length, shapes.length * 4)

  const successor = await start(second, "waiting")
  onTestFinished(() => successor.dispose())
  const compare = async (when: string) => {
    for (const asked of recorded) {
      const answer = await ask(successor, asked)
      const { isUpToDate: _, ...same } = answer
      assert.deepStrictEqual(same, withoutEnd(asked), `${when}, with seed ${seed}`)
    }
  }
  await caughtUp(successor, 1)
  await compare("while it waits")
  await writer.stop()
  await successor.until("active")
  await compare("when it has taken over")
  // And what is written from now on goes on from there.
  await change(database, 20)
  await mark(database, 2)
  await caughtUp(successor, 2)
}

describe.each(keptReleases)("release %s and this one", (version) => {
  let old: OldRelease
  beforeAll(async () => {
    old = await unpackRelease(version)
  })
  afterAll(() => old[Symbol.dispose]())

  it(
    "answers what clients asked before with the same bytes after an upgrade",
    { timeout: patient(120_000) },
    () => answerAlike(old.entry, undefined)
  )
  it("and after a rollback", { timeout: patient(120_000) }, () => answerAlike(undefined, old.entry))
})

const withoutEnd = (asked: Recorded): Recorded => {
  const { body, handle, headers, offset, params, status } = asked
  return { params, offset, handle, status, headers, body }
}
