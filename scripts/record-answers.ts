/**
 * Records what a kept release stores and answers, for the tests that hold later ones against it:
 *
 *   npx node scripts/record-answers.ts 0.1.0
 *
 * Lets that release run on a database of its own until every kind of record has been written, and keeps its storage directory
 * at some points, with what an instance that has only this directory answers. Writes `testing/releases/recorded/<version>.tgz`. To
 * be run once for each release; what it has written is never changed afterwards.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { DatabaseSync } from "node:sqlite"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { visitPage } from "../src/storage/checkpoint/CheckpointPage.ts"
import { rowOfValues } from "../src/storage/checkpoint/CheckpointRow.ts"
import { handleIn, identityIn } from "../src/storage/state/DormantRecord.ts"
import { eventually } from "../testing/Eventually.ts"
import { everyType, ownTypes, valueFor } from "../testing/postgres/EveryType.ts"
import { connectTo } from "../testing/postgres/RowText.ts"
import { makeRandom } from "../testing/Random.ts"
import { journalContents } from "../testing/releases/JournalContents.ts"
import {
  type Answer,
  ask,
  type Recording,
  recordingFile,
  type Stage,
  startAlone
} from "../testing/releases/Recording.ts"
import { unpackRelease } from "../testing/releases/Releases.ts"
import { startService, type TestService } from "../testing/services/Service.ts"

const [, , version] = process.argv
if (version === undefined) throw new Error("Which release? For example: record-answers.ts 0.1.0")
const kept = recordingFile(version)
if (existsSync(kept))
  throw new Error(`${kept} is there already; what a release did is not changed after the fact`)

const streamId = "recorded"
const env = {
  BATON_JOURNAL_SEGMENT_BYTES: String(2 ** 14),
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "4000",
  ELECTRIC_LONG_POLL_TIMEOUT: "20000"
}

type Params = Readonly<Record<string, string>>

const shapes: ReadonlyArray<Params> = [
  { table: "items" },
  { table: "items", replica: "full" },
  { table: "items", columns: "id,kind" },
  { table: "items", log: "changes_only" },
  { table: "public.items", where: "id % 2 = 0" },
  ...["a", "b", "c"].map((kind) => ({ table: "items", where: `kind = '${kind}'` })),
  { table: "items", where: "kind = $1 AND n > $2", "params[1]": "a", "params[2]": "1.5" },
  { table: "items", where: "body LIKE 'x%' OR kind IN ('a', 'b') AND NOT n IS NULL", columns: "id,n" },
  { table: "items", where: "kind ~ '^[ab]$' AND at > '2020-01-01'", replica: "full" },
  { table: "items", where: "to_tsvector('simple', kind) @@ 'b'" },
  { table: "items", where: "kind || 'x' = 'ax' OR tags && ARRAY['red', 'blue']" },
  { table: "keyed" },
  { table: "keyed", columns: "a,b", where: "b BETWEEN 2 AND 40" },
  { table: "keyless" },
  { table: '"Odd ""Names"""', columns: '"Key","a b"' },
  { table: '"Odd Schema".things' },
  { table: "parted" },
  { table: "parted", where: "v > 10" },
  { table: "typed" },
  { table: "empty" },
  { table: "cleared" },
  { table: "seldom", where: "id = 1" },
  { table: "wide" }
]

const literal = (value: string | null, type: string): string =>
  value === null ? "NULL" : `'${value.replaceAll("'", "''")}'::${type}`

/** Types that are written in quotes are not in every version of Postgres. */
const types = everyType.filter(({ type }) => !type.startsWith('"'))

const schema = (): string => {
  const random = makeRandom(1)
  const columns = types.map((column, i) => `c${i} ${column.type}`)
  const row = (id: number) =>
    `(${id}, ${types.map((column) => literal(valueFor(random, column), column.type)).join(", ")})`
  return `${ownTypes};
    CREATE TABLE items (id int PRIMARY KEY, kind text NOT NULL, body text, n numeric(10,2), at timestamptz, tags text[]);
    CREATE TABLE keyed (a text, b int, v text, PRIMARY KEY (b, a));
    CREATE TABLE keyless (v int, t text);
    CREATE TABLE "Odd ""Names""" ("Key" int PRIMARY KEY, "a b" text DEFAULT 'x', "c/d" text);
    CREATE SCHEMA "Odd Schema";
    CREATE TABLE "Odd Schema".things (id bigint PRIMARY KEY, "select" boolean);
    CREATE TABLE parted (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
    CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (50);
    CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (50) TO (1000);
    CREATE TABLE typed (id int PRIMARY KEY, ${columns.join(", ")});
    CREATE TABLE empty (id int PRIMARY KEY);
    CREATE TABLE cleared (id int PRIMARY KEY);
    CREATE TABLE seldom (id int PRIMARY KEY, v int);
    CREATE TABLE wide (id int PRIMARY KEY, body text);
    INSERT INTO items SELECT i, chr(97 + i % 4), repeat('x', i * 7), i / 4.0, '2024-01-01Z'::timestamptz + i * interval '1 hour',
      CASE i % 3 WHEN 0 THEN ARRAY['red', NULL] WHEN 1 THEN ARRAY['a"b', '{}'] END FROM generate_series(1, 40) i;
    INSERT INTO keyed SELECT 'k/' || i, i, NULL FROM generate_series(1, 9) i;
    INSERT INTO keyless VALUES (1, 'a'), (1, 'a'), (NULL, NULL);
    INSERT INTO "Odd ""Names""" ("Key", "c/d") VALUES (1, 'q"q'), (2, E'line\\nbreak \\u00e9');
    INSERT INTO "Odd Schema".things VALUES (1, true), (9007199254740993, NULL);
    INSERT INTO parted SELECT i, i FROM generate_series(1, 99, 7) i;
    INSERT INTO cleared VALUES (1);
    INSERT INTO seldom VALUES (1, 1), (2, 2);
    INSERT INTO wide SELECT i, repeat(chr(96 + i), 5000) FROM generate_series(1, 12) i;
    INSERT INTO typed VALUES ${[0, 1].map(row).join(", ")}`
}

/** Changes of all sorts, in transactions of their own. */
const changes = (round: number): ReadonlyArray<string> => [
  `BEGIN; INSERT INTO items VALUES (${100 + round}, 'a', 'new ${round}', 7.25, NULL, '{blue}');
   UPDATE items SET kind = chr(97 + (id + ${round}) % 4) WHERE id % 5 = ${round % 5};
   DELETE FROM items WHERE id = ${10 + round}; COMMIT`,
  `UPDATE items SET body = NULL, n = n + 1 WHERE id < 6`,
  `UPDATE items SET id = id + 1000 WHERE id = ${20 + round}`,
  `UPDATE keyed SET b = b + 10, v = 'moved "${round}"' WHERE b = ${1 + round}`,
  `UPDATE keyless SET v = coalesce(v, 0) + 1`,
  `INSERT INTO "Odd ""Names""" ("Key") VALUES (${10 + round}); UPDATE "Odd ""Names""" SET "a b" = 'y${round}' WHERE "Key" = 1`,
  `UPDATE "Odd Schema".things SET "select" = NOT "select"`,
  `UPDATE parted SET id = id + 60 WHERE id = ${1 + 7 * round}; UPDATE parted SET v = v + 5`,
  `UPDATE typed SET id = id + 10 WHERE id % 10 = ${round % 2}`,
  `UPDATE seldom SET v = v + 1 WHERE id = 2`,
  `UPDATE seldom SET v = v + 1`,
  `UPDATE wide SET body = repeat(chr(97 + (id + ${round}) % 26), 3000) WHERE id < 9`
]

const root = mkdtempSync(path.join(tmpdir(), "baton-record-"))
const storageDir = path.join(root, "running")
const paths = path.join(storageDir, streamId, "v2")
const out = path.join(root, "out")
mkdirSync(path.join(out, "storage"), { recursive: true })
using release = await unpackRelease(version)
const cluster = await startCluster()
const admin = await connectTo(cluster.url("postgres"))
await admin.query("CREATE DATABASE recorded")
await admin.end()
const session = await connectTo(cluster.url("recorded"))
const stages: Array<Stage> = []

const start = (more: Readonly<Record<string, string>> = {}): Promise<TestService> =>
  startService({
    entry: release.entry,
    storageDir,
    env: {
      DATABASE_URL: cluster.url("recorded"),
      ELECTRIC_REPLICATION_STREAM_ID: streamId,
      ELECTRIC_ENABLE_INTEGRATION_TESTING: "true",
      ...env,
      ...more
    }
  })

const queryOf = (params: Params, more: Params): string => String(new URLSearchParams({ ...params, ...more }))

/** Reads a shape from its beginning to its end, and says what it found on the way. */
const read = async (url: string, params: Params): Promise<ReadonlyArray<Answer>> => {
  const answers: Array<Answer> = []
  let position: Params = { offset: "-1" }
  for (;;) {
    const { answer } = await ask(url, queryOf(params, position))
    answers.push(answer)
    if (answer.status !== 200 || "electric-up-to-date" in answer.headers) return answers
    position = {
      offset: answer.headers["electric-offset"] ?? "",
      handle: answer.headers["electric-handle"] ?? ""
    }
  }
}

const readAll = async (url: string): Promise<void> => {
  for (const params of shapes) {
    const [answer] = await read(url, params)
    if (answer?.status !== 200)
      throw new Error(`${JSON.stringify(params)}: ${answer?.status} ${answer?.body}`)
  }
}

const untilWritten = (kind: string) =>
  eventually(
    `a record "${kind}"`,
    () => (journalContents(path.join(paths, "journal"))[kind] ?? 0) > 0,
    60_000
  )

/** The service has told of everything that was committed before. */
const untilTold = async (service: TestService, mark: number): Promise<void> => {
  await session.query(`INSERT INTO empty VALUES (${mark})`)
  await eventually(`row ${mark}`, async () =>
    (await read(service.url, { table: "empty" })).some(({ body }) => body.includes(`"id":"${mark}"`))
  )
}

const change = async (from: number, to: number): Promise<void> => {
  for (let round = from; round < to; round++) for (const sql of changes(round)) await session.query(sql)
}

const identitiesIn = (directory: string): Readonly<Record<string, string>> => {
  const file = readdirSync(directory).findLast((name) => /^meta-.*\.sqlite$/.test(name))
  if (file === undefined) return {}
  const db = new DatabaseSync(path.join(directory, file), { readOnly: true })
  try {
    const rows = db.prepare("SELECT handle, identity FROM shapes ORDER BY id").all()
    const found = rows.map((row) => [String(row["handle"]), String(row["identity"])] as const)
    return Object.fromEntries([...found, ...identitiesInPages(db)])
  } finally {
    db.close()
  }
}

/** From level 3 on shapes stand in pages. */
const identitiesInPages = (db: DatabaseSync): ReadonlyArray<readonly [handle: string, identity: string]> => {
  if (db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'pages'").get() === undefined) return []
  const found: Array<readonly [string, string]> = []
  for (const { body } of db.prepare("SELECT body FROM pages ORDER BY abs(key)").all()) {
    const page = Buffer.from(body as Uint8Array)
    visitPage(page, true, (from, length, isText) => {
      if (isText) {
        const row = rowOfValues(JSON.parse(page.toString("utf8", from, from + length)) as Array<unknown>)
        found.push([row.handle, row.identity])
      } else found.push([handleIn(page, from), identityIn(page, from)])
    })
  }
  return found
}

const keptFiles = new Map<string, string>()

/** Files that are alike are kept once. */
const linkAlike = (directory: string): void => {
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const file = path.join(directory, name)
    if (statSync(file).isDirectory()) continue
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex")
    const known = keptFiles.get(digest)
    if (known === undefined) keptFiles.set(digest, file)
    else {
      rmSync(file)
      linkSync(known, file)
    }
  }
}

/** Keeps the storage directory as it is, and what an instance that has only this one answers. */
const keep = async (name: string): Promise<void> => {
  const directory = path.join(out, "storage", name)
  cpSync(storageDir, directory, { recursive: true })
  linkAlike(directory)
  const alone = await startAlone(directory, { env, streamId }, release.entry)
  const answers: Array<Answer> = []
  const cursors: Array<Stage["cursors"][number]> = []
  for (const params of shapes) {
    const all = await read(alone.url, params)
    const [first] = all
    const handle = first?.headers["electric-handle"]
    // Dropped, and cannot be made now: the words that say so may change.
    if (first?.status !== 200 || handle === undefined) continue
    answers.push(...all)
    const last = all.at(-1)?.headers["electric-offset"] ?? ""
    const others: ReadonlyArray<Params> = [
      { offset: "-1", handle: "1-2" },
      { offset: "now" },
      { offset: "0_0", handle },
      { offset: "0_inf", handle },
      // An answer at once: something is there already.
      ...(last.startsWith("0_") ? [] : [{ offset: "0_inf", handle, live: "true" }])
    ]
    for (const other of others) {
      const { answer, cursor, date } = await ask(alone.url, queryOf(params, other))
      answers.push(answer)
      if (cursor !== null) cursors.push({ atMillis: Date.parse(date ?? ""), cursor })
    }
  }
  await alone.dispose()
  const place = path.join(directory, streamId, "v2")
  const stage: Stage = {
    name,
    records: journalContents(path.join(place, "journal")),
    identities: identitiesIn(place),
    answers,
    // The header has whole seconds: where the next interval begins within one, it does not tell.
    cursors: cursors.filter(({ atMillis }) => ![0, 19].includes((atMillis / 1000) % 20))
  }
  stages.push(stage)
  process.stdout.write(
    `${name}: ${answers.length} answers; ${JSON.stringify(stage.records)}; ` +
      `${Object.keys(stage.identities).length} shapes in the checkpoint\n`
  )
}

/** Ends the service in the middle of a large transaction: parts of it stand in the journal, and its end does not. */
const killInTransaction = async (service: TestService): Promise<TestService> => {
  const journal = path.join(paths, "journal")
  for (let attempt = 0; attempt < 20; attempt++) {
    const writing = session.query(
      `UPDATE wide SET body = repeat(chr(97 + (id + ${attempt}) % 26), 200000 + ${attempt})`
    )
    for (let i = 0; i < 400; i++) {
      await sleep(1)
      const newest = readdirSync(journal).toSorted().at(-1) ?? ""
      if (statSync(path.join(journal, newest)).size > 2 ** 18) break
    }
    service.signal("SIGKILL")
    await service.ended
    await writing
    if ((journalContents(journal)["part without an end"] ?? 0) > 0) return service
    service = await start()
    await untilTold(service, 1000 + attempt)
  }
  throw new Error("no transaction was cut")
}

try {
  await session.query(schema())
  await session.query("SET application_name = 'recording'")

  // Killed when nothing has been moved out of the journal.
  let service = await start({ BATON_JOURNAL_SEGMENT_BYTES: String(2 ** 25) })
  await readAll(service.url)
  await change(0, 2)
  await untilTold(service, 1)
  await untilWritten("position")
  await untilWritten("passed")
  // What the catalogue said is written half a second later.
  await eventually("the catalogue", () => existsSync(path.join(paths, "types.json.gz")))
  await sleep(2000)
  await service.stop("SIGKILL")
  await keep("journal")

  // Stopped when segments have been moved to the files of shapes.
  service = await start()
  await change(2, 5)
  await untilTold(service, 2)
  await untilWritten("moved")
  await eventually("a checkpoint", () => Object.keys(identitiesIn(paths)).length > 0, 60_000)
  await change(5, 6)
  await session.query("UPDATE wide SET body = repeat('part', 40000) WHERE id < 3")
  await session.query("TRUNCATE cleared")
  await untilTold(service, 3)
  const [doomed] = await read(service.url, shapes[1] ?? {})
  await fetch(
    `${service.url}/v1/shape?${queryOf(shapes[1] ?? {}, { handle: doomed?.headers["electric-handle"] ?? "" })}`,
    { method: "DELETE" }
  )
  await sleep(2000)
  await service.stop("SIGTERM")
  await keep("moved")

  // Killed in the middle of a transaction.
  service = await start()
  await readAll(service.url)
  await killInTransaction(service)
  await keep("cut")

  // A slot that is of no use any more: everything started over.
  service = await start()
  await untilTold(service, 4)
  await service.stop("SIGTERM")
  await session.query(`SELECT pg_drop_replication_slot('electric_slot_${streamId}')`)
  service = await start({ ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE: "200000" })
  await readAll(service.url)
  await session.query("UPDATE wide SET body = repeat('large', 10000)")
  await untilWritten("slotLost").catch((error: unknown) => {
    throw new Error(`${String(error)}\n${service.logs()}`)
  })
  await service.stop("SIGKILL")
  service = await start()
  await readAll(service.url)
  await change(7, 8)
  await untilTold(service, 5)
  await service.stop("SIGKILL")
  await keep("started over")

  const recording: Recording = { release: version, streamId, env, stages }
  writeFileSync(path.join(out, "recording.json"), `${JSON.stringify(recording)}\n`)
  mkdirSync(path.dirname(kept), { recursive: true })
  execFileSync("tar", ["cf", `${kept}.tar`, "-C", out, "recording.json", "storage"])
  execFileSync("gzip", ["-9n", `${kept}.tar`])
  execFileSync("mv", [`${kept}.tar.gz`, kept])
  process.stdout.write(`${kept}: ${statSync(kept).size} bytes\n`)
} finally {
  await session.end().catch(() => {})
  await cluster.destroy()
  process.stdout.write(`${root}\n`)
  if (process.env["KEEP"] === undefined) rmSync(root, { recursive: true, force: true })
}
