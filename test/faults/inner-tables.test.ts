import { assert, describe, it } from "vitest"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { expectNothingDiffers } from "../../testing/services/VerifyShapes.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import {
  ask,
  databaseForTest,
  roleForTest,
  serviceForTest,
  storageForTest,
  untilLooked
} from "./support/faults.ts"

const tasks = `
  CREATE TABLE tasks (id int PRIMARY KEY, project_id int, title text);
  INSERT INTO tasks VALUES (1, 10, 'a'), (2, 20, 'b'), (3, NULL, 'c')`

const members = (name: string) => `
  CREATE TABLE ${name} (id int PRIMARY KEY, project_id int, person varchar(20), note text);
  INSERT INTO ${name} VALUES (1, 10, 'ada', 'x'), (2, 20, 'bob', 'y')`

const shapeOf = (inner: string, more = "") => ({
  table: "tasks",
  where: `project_id IN (SELECT project_id FROM ${inner} WHERE person = 'ada'${more})`
})

const ids = ({ rows }: { readonly rows: ReadonlyArray<unknown> }): ReadonlyArray<unknown> =>
  rows.map((row) => (row as { readonly id: unknown }).id).toSorted()

const errorsOf = (body: string): unknown => (JSON.parse(body) as { readonly errors?: unknown }).errors

interface Published {
  readonly table: string
  readonly identity: string
}

const published = (database: TestDatabase) =>
  database.query<Published>(
    `SELECT c.relname::text AS table, c.relreplident::text AS identity
     FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid
     WHERE p.pubname = $1 ORDER BY 1`,
    [database.publicationName]
  )

/** The first answer since shapes with sub-selects can be made at all: storage is finalised a moment after the start. */
const make = (url: string, shape: Readonly<Record<string, string>>) =>
  eventually("storage is finalised", async () => {
    const answer = await ask(url, shape)
    return answer.body.includes("once storage is finalised") ? undefined : answer
  })

describe("a table that only sub-selects read", () => {
  it("is published whole before the shape's first rows are read, and stays published", async () => {
    const database = await databaseForTest()
    const storageDir = storageForTest()
    await database.query(
      `${tasks}; ${members("members")};
       CREATE SCHEMA "Other"; CREATE TABLE "Other".teams (id int, person varchar) PARTITION BY LIST (id);
       CREATE TABLE "Other".teams_1 PARTITION OF "Other".teams FOR VALUES IN (1);
       INSERT INTO "Other".teams VALUES (1, 'ada')`
    )
    const first = await serviceForTest({ database, storageDir })
    const where =
      'project_id IN (SELECT project_id FROM members WHERE person IN (SELECT person FROM "Other".teams WHERE id = 1))'
    const answer = await make(first.url, { table: "tasks", where })
    assert.strictEqual(answer.status, 200, answer.body)
    assert.deepStrictEqual(ids(answer), ["1"])
    const all = [
      { table: "members", identity: "f" },
      { table: "tasks", identity: "f" },
      { table: "teams", identity: "d" }
    ]
    assert.deepStrictEqual(await published(database), all)
    const [leaf] = await database.query<{ relreplident: string }>(
      "SELECT relreplident::text FROM pg_class WHERE relname = 'teams_1'"
    )
    assert.strictEqual(leaf?.relreplident, "f")
    await first.stop()
    const second = await serviceForTest({ database, storageDir })
    await untilLooked(database)
    assert.deepStrictEqual(await published(database), all)
    // An operator's mistakes are mended for these tables as for others.
    await database.query("ALTER TABLE members REPLICA IDENTITY DEFAULT")
    await eventually("the identity is whole again", async () =>
      (await published(database)).some(({ identity, table }) => table === "members" && identity === "f")
    )
    assert.strictEqual((await ask(second.url, { table: "tasks", where })).handle, answer.handle)
  })

  it("is asked of an operator where tables are published by hand", async () => {
    const database = await databaseForTest()
    const name = database.publicationName
    await database.query(
      `${tasks}; ALTER TABLE tasks REPLICA IDENTITY FULL; ${members("members")};
       CREATE PUBLICATION ${name} FOR TABLE tasks`
    )
    const { untilLogged, url } = await serviceForTest({
      database,
      env: { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" }
    })
    // At first there are no shapes with sub-selects at all, until storage is finalised.
    const refused = (pattern: RegExp) =>
      eventually(`a refusal with ${pattern}`, async () => {
        const answer = await ask(url, shapeOf("members"))
        assert.strictEqual(answer.status, 503, answer.body)
        return pattern.test(answer.body)
      })
    await refused(/Database table .{0,4}public.members.{0,4} is missing from the publication/)
    await untilLogged(
      /Shapes whose sub-selects read the table "public"\."members" cannot be made.*ADD TABLE "public"\."members"/
    )
    await database.query(`ALTER PUBLICATION ${name} ADD TABLE members`)
    await refused(/public.members.{0,4} does not have its replica identity set to FULL/)
    await database.query("ALTER TABLE members REPLICA IDENTITY FULL")
    const made = await make(url, shapeOf("members"))
    assert.deepStrictEqual(ids(made), ["1"])
    await database.query("UPDATE members SET person = 'ada' WHERE person = 'bob'")
    await eventually("the row enters", async () => {
      const log = await ask(url, { ...shapeOf("members"), handle: made.handle ?? "", offset: "0_0" })
      return ids(log).includes("2")
    })
    const [{ version = 0 } = {}] = await database.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version"
    )
    if (version < 150000) return
    await database.query(
      `ALTER PUBLICATION ${name} DROP TABLE members; ${members("others")}; ALTER TABLE others REPLICA IDENTITY FULL;
       ALTER PUBLICATION ${name} ADD TABLE others WHERE (person = 'ada')`
    )
    const filtered = await ask(url, shapeOf("others"))
    assert.strictEqual(filtered.status, 503, filtered.body)
    assert.match(filtered.body, /public.others.{0,4} is in .* with a row filter or a column list/)
  })

  it("is refused where its changes are not in the stream, or not all of its rows can be read", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "REPLICATION")
    await database.query(
      `${tasks}; ${members("members")}; CREATE VIEW seen AS SELECT * FROM members;
       CREATE UNLOGGED TABLE fast AS SELECT * FROM members;
       CREATE TEMPORARY TABLE brief AS SELECT * FROM members;
       CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far_away FOREIGN DATA WRAPPER none;
       CREATE FOREIGN TABLE far (person text, project_id int) SERVER far_away;
       ${members("guarded")}; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
       CREATE POLICY own ON guarded USING (person = current_user); ${members("secret")};
       ALTER TABLE tasks OWNER TO ${role.name}; ALTER TABLE guarded OWNER TO ${role.name};
       ALTER TABLE secret OWNER TO ${role.name}; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
       REVOKE ALL ON secret FROM ${role.name}; ALTER TABLE fast OWNER TO ${role.name};
       GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`
    )
    const { untilLogged, url } = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
    const cases: ReadonlyArray<readonly [inner: string, status: number, body: RegExp]> = [
      ["seen", 400, /Table public.seen is a view: .* sub-selects/],
      ["nowhere", 400, /Table public.nowhere does not exist/],
      ["pg_catalog.pg_class", 400, /belongs to the system/],
      ["fast", 400, /table public.fast is UNLOGGED/],
      ["brief", 400, /Table public.brief does not exist/],
      ["far", 400, /Table public.far is a foreign table/],
      ["guarded", 503, /row-level security policy for table guarded/],
      ["secret", 503, /permission denied for table secret/]
    ]
    for (const [inner, status, body] of cases) {
      const sql = inner.startsWith("pg_") ? "id IN (SELECT oid FROM pg_catalog.pg_class)" : undefined
      const answer = await ask(url, sql === undefined ? shapeOf(inner) : { table: "tasks", where: sql })
      assert.strictEqual(answer.status, status, `${inner}: ${answer.body}`)
      assert.match(answer.body.replaceAll(/[\\"]/g, ""), body, inner)
    }
    assert.deepStrictEqual(Object.keys(errorsOf((await ask(url, shapeOf("seen"))).body) as object), ["table"])
    // The operator is told about the table that it is about.
    await untilLogged(/ALTER TABLE "public"\."guarded" NO FORCE ROW LEVEL SECURITY/)
    await untilLogged(/GRANT SELECT ON (?:TABLE )?"public"\."secret" TO/)
  })
})

it("a sub-select that gives more values than all may is refused for now, and others are made", async () => {
  const database = await databaseForTest()
  await database.query(`${tasks}; ${members("few")}; CREATE TABLE many AS SELECT 'ada' AS person, n AS project_id
    FROM generate_series(1, 500) n`)
  const { url } = await serviceForTest({ database, env: { BATON_MAX_SUBSELECT_VALUES: "100" } })
  const made = await make(url, shapeOf("few"))
  assert.strictEqual(made.status, 200, made.body)
  const refused = await ask(url, shapeOf("many"))
  assert.strictEqual(refused.status, 503, refused.body)
  assert.match(refused.body, /BATON_MAX_SUBSELECT_VALUES/)
  await database.query("DELETE FROM many WHERE project_id > 50")
  const later = await ask(url, shapeOf("many"))
  assert.strictEqual(later.status, 200, later.body)
  assert.strictEqual((await ask(url, shapeOf("few"))).handle, made.handle)
})

const prepareShapes = async () => {
  const database = await databaseForTest()
  await database.query(`${tasks}; ${members("members")}; ${members("others")}`)
  const service = await serviceForTest({ database })
  const first = await make(service.url, shapeOf("members"))
  const other = await make(service.url, shapeOf("others"))
  assert.deepStrictEqual(ids(first), ["1"])
  const rest = { ...shapeOf("members"), handle: first.handle ?? "", offset: "0_0" }
  return { database, service, rest, other }
}

describe("a table of a sub-select whose changes were not whole for some time", () => {
  it("costs a fetch when its identity was not whole while it was changed", async () => {
    const { database, other, rest, service } = await prepareShapes()
    await database.query(
      "BEGIN; ALTER TABLE members REPLICA IDENTITY DEFAULT; UPDATE members SET person = 'ada'; COMMIT"
    )
    await service.untilLogged(/table public.members has lost its REPLICA IDENTITY FULL/)
    await eventually("it is fetched again", async () => {
      assert.strictEqual((await ask(service.url, rest)).status, 409)
      const now = await ask(service.url, shapeOf("members"))
      assert.deepStrictEqual(ids(now), ["1", "2"])
      return true
    })
    await untilLooked(database)
    assert.strictEqual((await ask(service.url, shapeOf("others"))).handle, other.handle)
  })

  it("costs nothing when it left the publication: shapes get what they lack", async () => {
    const { database, other, rest, service } = await prepareShapes()
    await database.query(
      `ALTER PUBLICATION ${database.publicationName} DROP TABLE members; UPDATE members SET person = 'ada'`
    )
    await service.untilLogged(/not published for some time: public.members/)
    await eventually("the row comes", async () => {
      const more = await ask(service.url, rest)
      assert.strictEqual(more.status, 200)
      return String(ids(more)) === "2"
    })
    await untilLooked(database)
    assert.strictEqual((await ask(service.url, shapeOf("others"))).handle, other.handle)
  })
})

interface Alteration {
  readonly inner: string
  readonly setUp?: string
  readonly alter: string
  readonly more?: string
  /** What the log says of the dropped shape; it is kept without. */
  readonly reason?: RegExp
}

const tree = (name: string) => `
  CREATE TABLE ${name} (id int, project_id int, person varchar(20)) PARTITION BY LIST (id);
  CREATE TABLE ${name}_1 PARTITION OF ${name} FOR VALUES IN (1);
  CREATE TABLE ${name}_2 PARTITION OF ${name} FOR VALUES IN (2);
  CREATE TABLE ${name}_3 (id int, project_id int, person varchar(20)); INSERT INTO ${name}_3 VALUES (3, 20, 'ada');
  INSERT INTO ${name} VALUES (1, 10, 'ada'), (2, 20, 'bob')`

/** Whoever comes first: who looks at tables, or who reads their rows. */
const readsIt = (name: string, what: string) =>
  new RegExp(
    `table public\\.${name}, which its (?:sub-selects read, (?:${what})|condition looks at, cannot be read)`
  )

const alterations: ReadonlyArray<Alteration> = [
  { inner: "unused", alter: "ALTER TABLE unused DROP COLUMN note, ADD COLUMN more int DEFAULT 5" },
  { inner: "wider", alter: "ALTER TABLE wider ALTER COLUMN person TYPE varchar(40)" },
  {
    inner: "strict",
    alter: "ALTER TABLE strict ALTER COLUMN person SET NOT NULL; CREATE INDEX ON strict (person)"
  },
  { inner: "keyless", alter: "ALTER TABLE keyless DROP CONSTRAINT keyless_pkey" },
  {
    inner: "grown",
    setUp: tree("grown"),
    alter: "CREATE TABLE grown_4 PARTITION OF grown FOR VALUES IN (4)"
  },
  {
    inner: "typed",
    alter: "ALTER TABLE typed ALTER COLUMN project_id TYPE bigint USING project_id * 2"
  },
  {
    inner: "made_over",
    alter: "ALTER TABLE made_over ALTER COLUMN person TYPE varchar(20) USING reverse(person)"
  },
  {
    // The stream tells of a row that nobody has told of before, and it goes.
    inner: "rewritten",
    alter:
      "ALTER TABLE rewritten ALTER COLUMN project_id TYPE int USING 30 - project_id; DELETE FROM rewritten WHERE id = 1"
  },
  {
    inner: "renamed",
    alter: "ALTER TABLE renamed RENAME COLUMN person TO who",
    // Or who would have compared it with the database finds that its condition means nothing any more.
    reason: new RegExp(`${readsIt("renamed", "has changed").source}|its condition fails in the database`)
  },
  {
    inner: "swapped",
    alter: "ALTER TABLE swapped DROP COLUMN person; ALTER TABLE swapped ADD COLUMN person varchar(20)"
  },
  {
    inner: "called",
    alter: "ALTER TABLE called RENAME TO called_otherwise",
    reason: readsIt("called", "has changed")
  },
  {
    inner: "moved",
    alter: "CREATE SCHEMA away; ALTER TABLE moved SET SCHEMA away",
    reason: readsIt("moved", "has changed")
  },
  { inner: "gone", alter: "DROP TABLE gone", reason: readsIt("gone", "is gone") },
  {
    inner: "replaced",
    alter: `ALTER TABLE replaced RENAME TO replaced_before; ${members("replaced")}`,
    reason: readsIt("replaced", "has changed")
  },
  {
    inner: "nested",
    more: " AND note IN (SELECT note FROM deep)",
    setUp: `${members("nested")}; ${members("deep")}`,
    alter: "ALTER TABLE deep ALTER COLUMN note TYPE varchar USING upper(note)"
  },
  {
    inner: "detached",
    setUp: tree("detached"),
    alter: "ALTER TABLE detached DETACH PARTITION detached_1"
  },
  {
    inner: "attached",
    setUp: tree("attached"),
    alter: "ALTER TABLE attached ATTACH PARTITION attached_3 FOR VALUES IN (3)"
  }
]

const prepare = async () => {
  const database = await databaseForTest()
  await database.query(tasks)
  for (const { inner, setUp } of alterations) await database.query(setUp ?? members(inner))
  return { database, storageDir: storageForTest() }
}

const makeShapes = async (url: string) => {
  const handles = new Map<string, string>()
  for (const { inner, more } of alterations) {
    const answer = await make(url, shapeOf(inner, more))
    assert.strictEqual(answer.status, 200, `${inner}: ${answer.body}`)
    assert.deepStrictEqual(ids(answer), ["1"], inner)
    handles.set(inner, answer.handle ?? "")
  }
  return handles
}

/** Of each shape: whether it is kept, and its clients get what there is now, or they are told to fetch it again, and why. */
const expectOutcomes = async (
  service: { readonly url: string; readonly logs: () => string },
  database: TestDatabase,
  handles: ReadonlyMap<string, string>
) => {
  const statusOf = async (inner: string) => {
    const { more } = alterations.find((one) => one.inner === inner) ?? {}
    return (
      await ask(service.url, { ...shapeOf(inner, more), handle: handles.get(inner) ?? "", offset: "0_0" })
    ).status
  }
  for (const { inner, reason } of alterations) {
    if (reason === undefined) continue
    await eventually(`the shape over ${inner} is dropped`, () =>
      service.logs().includes(handles.get(inner) ?? "-")
    )
    const line =
      service
        .logs()
        .split("\n")
        .find((one) => one.includes(handles.get(inner) ?? "-")) ?? ""
    assert.match(line, reason)
    assert.include([400, 409], await statusOf(inner), inner)
  }
  await untilLooked(database)
  for (const { inner, more, reason } of alterations) {
    if (reason !== undefined) continue
    const { where } = shapeOf(inner, more)
    const selected = await database.query<{ id: string }>(
      `SELECT id::text FROM tasks WHERE ${where} ORDER BY 1`
    )
    await eventually(`the rows of the shape over ${inner}`, async () => {
      assert.strictEqual(await statusOf(inner), 200, inner)
      const reader = new ShapeLogReader({ url: service.url, params: shapeOf(inner, more) })
      await reader.readToEnd()
      assert.strictEqual(reader.position.handle, handles.get(inner))
      assert.deepStrictEqual(
        Array.from(reader.rows.values(), ({ id }) => id).toSorted(),
        selected.map(({ id }) => id)
      )
      return true
    })
  }
  await expectNothingDiffers(service.url)
}

describe("what becomes of a table that sub-selects read", { timeout: patient(120_000) }, () => {
  it("ends the shapes that cannot go on, and no others, without a write", async () => {
    const { database, storageDir } = await prepare()
    const service = await serviceForTest({ database, storageDir })
    const handles = await makeShapes(service.url)
    for (const { alter } of alterations) await database.query(alter)
    await expectOutcomes(service, database, handles)
    // Who asks again gets the rows of what there is now.
    const now = await ask(service.url, shapeOf("replaced"))
    assert.strictEqual(now.status, 200, now.body)
    assert.deepStrictEqual(ids(now), ["1"])
    const gone = await ask(service.url, shapeOf("gone"))
    assert.strictEqual(gone.status, 400)
    assert.match(gone.body, /does not exist/)
  })

  it("is found out at the start where nobody was there to see it", async () => {
    const { database, storageDir } = await prepare()
    const first = await serviceForTest({ database, storageDir })
    const handles = await makeShapes(first.url)
    await first.stop()
    for (const { alter } of alterations) await database.query(alter)
    const second = await serviceForTest({ database, storageDir })
    await expectOutcomes(second, database, handles)
  })
})

it("a partition that is younger than the shapes and goes takes its rows out of them", async () => {
  const database = await databaseForTest()
  await database.query(`${tasks}; ${tree("later")}`)
  const service = await serviceForTest({ database })
  const selected = shapeOf("later")
  const { handle } = await make(service.url, selected)
  const whole = new ShapeLogReader({ url: service.url, params: { table: "later" } })
  await whole.readToEnd()
  await database.query("CREATE TABLE later_5 PARTITION OF later FOR VALUES IN (5)")
  await database.query("INSERT INTO later VALUES (5, 20, 'ada')")
  await whole.followUntil("the row of the partition", () => whole.rows.size === 3)
  await untilLooked(database)
  await database.query("ALTER TABLE later DETACH PARTITION later_5")
  await whole.followUntil("its end", () => whole.rows.size === 2)
  assert.deepStrictEqual(
    Array.from(whole.rows.values(), ({ id }) => id),
    ["1", "2"]
  )
  const following = new ShapeLogReader({ url: service.url, params: selected })
  await following.readToEnd()
  await following.followUntil("its end in what selects from it", () => following.rows.size === 1)
  assert.strictEqual(following.position.handle, handle)
})
