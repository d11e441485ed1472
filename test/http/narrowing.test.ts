import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { makeRandom, type Random } from "../../testing/Random.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

const seed = Number(process.env["NARROWING_SEED"] ?? Date.now() % 1_000_000)

/** What a host puts into the shape. The row with the secret is in none of them; they differ in what Postgres thinks they cost. */
const shapeConditions = [
  "tenant = 3",
  "tenant IN (3,4,5,6,7,8,9,10)",
  "tenant = 3 OR team = 99 OR salary = -1",
  "lower(name) = 'x'",
  "(tenant + 0) % 30 = 3",
  "substr(lower(name), 1, 2) = 'zz' OR tenant = 3",
  "dear(tenant) = 3",
  "nothing = 1",
  "tenant::text ~ '^3$'",
  "to_tsvector('simple', name) @@ to_tsquery('simple', 'zz')",
  "CASE WHEN tenant = 3 AND team < 9 THEN true ELSE false END",
  "tenant BETWEEN 3 AND 4 AND (team < 50 AND name IS NOT NULL)"
]

/** Each fails, or not, by the value of `salary` or `name` in the row that it is evaluated for. */
const attacks = [
  "salary + $1::int4 > 0",
  "10 / (salary - 14000) > 0 OR true",
  "salary::int2 > 0 OR true",
  "substring(name from 1 for salary - 14000) = 'x' OR true",
  "name LIKE 'abc\\'",
  "name LIKE 'abc\\' OR team > 0",
  "team = 1 AND name LIKE ANY (ARRAY['abc\\', 'q'])",
  "name::int > 0",
  "name::date > '2020-01-01'",
  "(name || '0')::int2 > 0 OR team IS NULL",
  "make_date(2020, salary - 13990, 1) > '2000-01-01'",
  "factorial(salary - 14000) > 0",
  "power(10::numeric, salary) > 1",
  "cheap(salary) = 1",
  "CASE WHEN salary > 14000 THEN cheap(1) ELSE 1 END = 1",
  "guarded(salary) OR true",
  "(SELECT 1) = 1",
  "salary::small > 0",
  "NULLIF(1 / (salary - 14000), 3) IS NULL",
  "(salary + $1::int4 > 0) IS NOT NULL",
  "id IN (985, 10 / (salary - 14000))",
  "('{\"a\": ' || name || '}')::jsonb ? 'a'",
  "lpad(name, (salary - 13000) * 1100000) IS NOT NULL",
  "name::uuid IS NOT NULL",
  "date '2020-01-01' + salary * 100000 > '2020-01-01'"
]

/** With one of these the attack fails for the row; with the other it does not. */
const secrets = [
  { salary: 14_000, name: "abc" },
  { salary: 13_999, name: "12" },
  { salary: 40_000, name: "abd" },
  { salary: 14_002, name: "2020-02-02" },
  { salary: 13_000, name: "7c4f3a7e-6b1e-4b7c-9d3e-111111111111" }
]

const schema = `
  CREATE FUNCTION cheap(int) RETURNS int IMMUTABLE COST 0.0001 LANGUAGE plpgsql
    AS 'BEGIN IF $1 = 14000 OR $1 = 1 THEN RAISE EXCEPTION ''no''; END IF; RETURN 1; END';
  CREATE FUNCTION dear(int) RETURNS int IMMUTABLE COST 100000 LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
  CREATE FUNCTION guarded(int) RETURNS bool IMMUTABLE COST 0.0001 LANGUAGE sql AS 'SELECT 10 / ($1 - 14000) > 0';
  CREATE DOMAIN small AS int CHECK (VALUE < 14000);
  CREATE TABLE emp (id int PRIMARY KEY, tenant int, team int, salary int, name text, nothing int);
  INSERT INTO emp SELECT i, CASE WHEN i % 7 = 0 THEN 3 ELSE 20 + i % 5 END, i % 5, 100 + i % 30, 'zz', NULL
    FROM generate_series(1, 900) i;
  UPDATE emp SET salary = 5, name = '1' WHERE tenant = 3;
  INSERT INTO emp VALUES (985, 21, 2, 0, 'n', 2);
  CREATE INDEX ON emp (tenant); CREATE INDEX ON emp (salary); CREATE INDEX ON emp (name text_pattern_ops);
  ANALYZE emp`

const order = (random: Random): Record<string, string> =>
  random.chance(0.5)
    ? {}
    : {
        subset__order_by: random.pick(["id", "salary DESC", "name, id"]),
        ...(random.chance(0.5)
          ? { subset__limit: String(random.int(1, 5)), subset__offset: String(random.int(0, 3)) }
          : {})
      }

describe("a condition can only narrow", () => {
  let database: TestDatabase
  let service: TestService

  beforeAll(async () => {
    database = await createDatabase()
    await database.query(schema)
    service = await startService({ database })
  })
  afterAll(async () => {
    await service?.dispose()
    await database?.drop()
  })

  const plant = (secret: (typeof secrets)[number]) =>
    database.query("UPDATE emp SET salary = $1, name = $2 WHERE id = 985", [secret.salary, secret.name])

  /** All that a client is told, but for what counts transactions. */
  const ask = async (parameters: Readonly<Record<string, string>>): Promise<string> => {
    const query = new URLSearchParams({ table: "emp", columns: "id,tenant", offset: "-1", ...parameters })
    const response = await fetch(`${service.url}/v1/shape?${query.toString()}`)
    const body = (await response.text())
      .replace(/"snapshot_mark":\d+/g, "")
      .replace(/"metadata":\{[^}]*\}/, "")
    return `${response.status} ${body}`
  }

  it(
    "of a subset: no answer depends on a row outside of the shape",
    { timeout: patient(120_000) },
    async () => {
      const random = makeRandom(seed)
      const cases = attacks.flatMap((attack) =>
        [random.pick(shapeConditions), random.pick(shapeConditions)].map((where) => ({
          where,
          subset__where: random.pick([
            attack,
            `id = 985 AND ${attack}`,
            `(${attack}) AND team >= 0`,
            `id > 1 AND (${attack})`
          ]),
          ...(attack.includes("$1") ? { subset__params: '{"1":"2147469643"}' } : {}),
          ...order(random)
        }))
      )
      const answers: Array<ReadonlyArray<string>> = []
      for (const secret of secrets) {
        await plant(secret)
        // The statistics hold the secret, too.
        await database.query("ANALYZE emp")
        const asked: Array<string> = []
        for (const one of cases) asked.push(await ask(one))
        answers.push(asked)
      }
      for (const [i, one] of cases.entries())
        for (const asked of answers)
          assert.strictEqual(asked[i], answers[0]?.[i], `seed ${seed}: ${JSON.stringify(one)}`)
      const succeeded = answers[0]?.filter((answer) => answer.startsWith("200")).length ?? 0
      assert.isAbove(succeeded, cases.length / 4)
    }
  )

  it(
    "of a shape: what a host adds in front of a client's condition rules its rows out first",
    { timeout: patient(120_000) },
    async () => {
      const random = makeRandom(seed + 1)
      const hosts = shapeConditions.filter((condition) => condition !== "lower(name) = 'x'")
      const cases = attacks.map((attack) => ({
        where: `(${random.pick(hosts)}) AND (${attack.replace("$1", "2147469643")})`,
        columns: "id"
      }))
      const [first, ...others] = secrets
      if (first === undefined) throw new Error("no secrets")
      const answers: Array<ReadonlyArray<string>> = []
      await plant(first)
      const made = await Promise.all(cases.map((one) => ask(one)))
      for (const secret of others) {
        await plant(secret)
        // A row in the shape: when it has come, the secret has been judged.
        await database.query("UPDATE emp SET team = team WHERE id = 7")
        const fresh = await Promise.all(cases.map((one) => ask({ ...one, where: `true AND ${one.where}` })))
        answers.push(fresh.map((answer) => answer.replaceAll("true AND ", "")))
      }
      for (const [i, one] of cases.entries())
        for (const asked of answers)
          assert.strictEqual(asked[i]?.slice(0, 3), made[i]?.slice(0, 3), `seed ${seed}: ${one.where}`)
      const before = await Promise.all(cases.map((one) => handleOf(one)))
      for (const secret of secrets) await plant(secret)
      await database.query("INSERT INTO emp VALUES (2000, 3, 1, 5, '1')")
      await eventually("the marker to come", async () => (await ask({ where: "id = 2000" })).includes("2000"))
      const marker = await ask({ where: "tenant = 3 AND id > 1999" })
      assert.include(marker, "2000")
      const after = await Promise.all(cases.map((one) => handleOf(one)))
      for (const [i, one] of cases.entries())
        assert.strictEqual(after[i], before[i], `the secret dropped a shape; seed ${seed}: ${one.where}`)
    }
  )

  const handleOf = async (parameters: Readonly<Record<string, string>>): Promise<string | null> => {
    const query = new URLSearchParams({ table: "emp", offset: "-1", ...parameters })
    const response = await fetch(`${service.url}/v1/shape?${query.toString()}`)
    await response.text()
    return response.headers.get("electric-handle")
  }
})
