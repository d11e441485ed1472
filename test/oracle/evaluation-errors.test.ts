import { assert, describe, it, onTestFinished } from "vitest"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { patient } from "../../testing/Load.ts"

const start = async (setUp: string): Promise<{ database: TestDatabase; service: TestService }> => {
  const database = await createDatabase()
  await database.query(setUp)
  const service = await startService({ database })
  onTestFinished(async () => {
    await service.dispose()
    await database.drop()
  })
  return { database, service }
}

const numbers = `
  CREATE TABLE numbers (id int PRIMARY KEY, n int NOT NULL, label text NOT NULL DEFAULT '');
  CREATE FUNCTION tenth(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10 / n';
  INSERT INTO numbers VALUES (1, 2), (2, 5), (3, 20)`

/** Conditions that fail for n = 0: evaluated here, by Postgres, and one whose index finds it first. */
const failing = ["10 / n > 1", "tenth(n) > 1", "id < 100 AND 10 / n > 1"]
/** Conditions that hold for every row without ever dividing by zero. */
const sound = ["n >= 0", "n = 0 OR 10 / n >= 0", "CASE WHEN n = 0 THEN true ELSE tenth(n) >= 0 END"]

const refusal = { message: "Invalid request", errors: { where: ["division by zero"] } }

const tenSeconds = () => AbortSignal.timeout(patient(10_000))

const follow = async (service: TestService, where: string): Promise<ShapeLogReader> => {
  const reader = new ShapeLogReader({
    url: service.url,
    params: { table: "numbers", where },
    changesOnly: true
  })
  await reader.readToEnd()
  return reader
}

const has = (reader: ShapeLogReader, id: number, n: number) => () =>
  reader.rows.get(`"public"."numbers"/"${id}"`)?.["n"] === String(n)

describe("a row for which a condition cannot be evaluated", { timeout: patient(90_000) }, () => {
  it("ends the shapes of that condition and no others; they are refused with the reason until it is gone", async () => {
    const { database, service } = await start(numbers)
    const ended = await Promise.all(failing.map((where) => follow(service, where)))
    const going = await Promise.all(sound.map((where) => follow(service, where)))
    const waiting = requestLog(
      service.url,
      { table: "numbers", where: "10 / n > 1" },
      ended[0]?.position ?? { offset: "" },
      {
        live: true
      }
    )

    // In one transaction with other changes, which the other shapes must not miss.
    await database.query(`
      BEGIN;
      INSERT INTO numbers VALUES (4, 7);
      UPDATE numbers SET n = 0 WHERE id = 1;
      INSERT INTO numbers VALUES (5, 8);
      COMMIT`)
    for (const reader of going) {
      await reader.followUntil("the changes around the row", () => has(reader, 1, 0)() && has(reader, 5, 8)())
      assert.strictEqual(reader.rows.size, 5)
      assert.deepStrictEqual(
        reader.operations.map(({ operation }) => operation),
        ["insert", "update", "insert"]
      )
    }
    assert.oneOf((await waiting).status, [400, 409], "a request that waits is answered at once")
    await service.untilLogged(
      /its condition fails for a changed row, as it does in Postgres \(division by zero\)/
    )
    for (const { position } of ended) await service.untilLogged(new RegExp(`Dropped .*${position.handle}`))
    for (const [i, where] of failing.entries()) {
      const params = { table: "numbers", where }
      for (const position of [{ offset: "-1" }, ended[i]?.position ?? { offset: "-1" }]) {
        const answer = await requestLog(service.url, params, position)
        assert.deepStrictEqual([answer.status, JSON.parse(answer.body)], [400, refusal], where)
        assert.strictEqual(answer.headers.get("cache-control"), "no-store")
      }
    }

    await database.query("DELETE FROM numbers WHERE id = 1; INSERT INTO numbers VALUES (6, 3)")
    for (const [i, where] of failing.entries()) {
      const reader = await follow(service, where)
      assert.notStrictEqual(reader.position.handle, ended[i]?.position.handle)
      await reader.followUntil("the rows that are left", has(reader, 6, 3))
      const found = Array.from(reader.rows.values(), ({ id }) => Number(id)).toSorted()
      assert.deepStrictEqual(found, [2, 6], where)
      const old = await requestLog(
        service.url,
        { table: "numbers", where },
        ended[i]?.position ?? { offset: "" }
      )
      assert.deepStrictEqual([old.status, old.handle], [409, reader.position.handle ?? null])
    }
    for (const reader of going) {
      await reader.followUntil("the end", has(reader, 6, 3))
      assert.strictEqual(reader.rows.size, 5)
    }
    assert.strictEqual(service.logs().match(/Dropped a shape: its condition fails/g)?.length, failing.length)
  })

  it("does not end shapes whose snapshot is of a later time", async () => {
    const { database, service } = await start(numbers)
    for (let round = 0; round < 3; round++) {
      // The stream is busy with the other rows when a snapshot does not show the row any more.
      await database.query(`
        INSERT INTO numbers SELECT i, 1 FROM generate_series(1000, 20000) i;
        INSERT INTO numbers VALUES (${100 + round}, 0);
        DELETE FROM numbers WHERE n = 0 OR id >= 1000`)
      const reader = await follow(service, `10 / n > 1 AND id <> ${-round}`)
      await database.query(`INSERT INTO numbers VALUES (${200 + round}, 4)`)
      await reader.followUntil("the next change", has(reader, 200 + round, 4))
    }
  })

  it.for([
    ["label::int > 1", 'invalid input syntax for type integer: "none"'],
    ["label ~ pattern", "invalid regular expression: parentheses () not balanced"],
    ["label::json ->> 'a' = 'b'", "invalid input syntax for type json"]
  ] as const)("is named to who asks for %s", async ([where, message]) => {
    const { service } = await start(`
      CREATE TABLE numbers (id int PRIMARY KEY, n int, label text, pattern text, tags text[]);
      INSERT INTO numbers VALUES (1, 1, 'none', '(', '{}')`)
    const answer = await requestLog(service.url, { table: "numbers", where }, { offset: "-1" })
    assert.strictEqual(answer.status, 400, answer.body)
    const { errors } = JSON.parse(answer.body) as {
      readonly errors: { readonly where: ReadonlyArray<string> }
    }
    assert.include(errors.where[0], message)
    const [report = ""] = await service.untilLogged(/The snapshot of a shape on .* failed: .*/)
    assert.include(report, message)
    assert.match(report, / \[22\w{3}\]\. .* get a 400 .* until the row or the condition is another one\./)
    assert.notInclude(report, "tried again")
  })

  it("that comes late in a large table cuts the answer, each time it is asked for, until it is gone", async () => {
    const { database, service } = await start(`
      CREATE TABLE numbers (id int PRIMARY KEY, n int, label text);
      INSERT INTO numbers SELECT i, 1, repeat('x', 100) FROM generate_series(1, 20000) i;
      INSERT INTO numbers VALUES (20001, 0, 'last')`)
    const params = { table: "numbers", where: "10 / n > 1" }
    for (let attempt = 0; attempt < 2; attempt++) {
      const outcome = await requestLog(service.url, params, { offset: "-1" }, { signal: tenSeconds() }).then(
        ({ status }) => status,
        (error: unknown) => (error instanceof DOMException ? error.name : "cut")
      )
      // Postgres may have failed before there was anything to send.
      assert.oneOf(outcome, ["cut", 400])
    }
    await service.untilLogged(/The snapshot of a shape on .*numbers.* failed: .*division by zero \[22012\]/)
    await database.query("UPDATE numbers SET n = 1 WHERE n = 0")
    const reader = await follow(service, params.where)
    assert.strictEqual(reader.rows.size, 20_001)
  })

  it("for a reason of a function's own is a 400 with the reason, as any other error of the condition", async () => {
    const { service } = await start(`
      CREATE TABLE numbers (id int PRIMARY KEY, n int);
      CREATE FUNCTION picky(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE
        AS $$ BEGIN IF n = 0 THEN RAISE 'zero is not liked here'; END IF; RETURN true; END $$;
      INSERT INTO numbers VALUES (1, 0)`)
    const answer = await requestLog(service.url, { table: "numbers", where: "picky(n)" }, { offset: "-1" })
    assert.deepStrictEqual(
      [answer.status, JSON.parse(answer.body)],
      [400, { message: "Invalid request", errors: { where: ["zero is not liked here"] } }]
    )
  })
})

describe("shapes with a condition", { timeout: patient(90_000) }, () => {
  it.for(["SIGTERM", "SIGKILL"] as const)("go on after %s with handle and offset", async (signal) => {
    const { database, service } = await start(numbers)
    const readers = await Promise.all([...failing, ...sound].map((where) => follow(service, where)))
    const all = await follow(service, "true")
    await database.query("INSERT INTO numbers VALUES (4, 4)")
    for (const reader of [...readers, all]) await reader.followUntil("a change before", has(reader, 4, 4))
    const positions = readers.map(({ position }) => position)
    await service.stop(signal)
    await database.query("INSERT INTO numbers VALUES (5, 3)")

    const next = await startService({ database, storageDir: service.storageDir })
    onTestFinished(() => next.dispose())
    // A shape without a clause says when the changes have gone through; until then nobody has sent a clause to parse.
    const whole = new ShapeLogReader({ url: next.url, params: { table: "numbers" } })
    await whole.readToEnd()
    await database.query("UPDATE numbers SET n = 3 WHERE id = 4")
    await whole.followUntil("the changes", has(whole, 4, 3))
    for (const [i, reader] of [...readers, all].entries()) {
      reader.moveTo(next.url)
      reader.isUpToDate = false
      await reader.readToEnd()
      assert.isTrue(has(reader, 5, 3)() && has(reader, 4, 3)(), reader.position.handle)
      if (i < positions.length) assert.strictEqual(reader.position.handle, positions[i]?.handle)
      assert.deepStrictEqual(
        reader.operations.map(({ key, operation }) => [operation, key.at(-2)]),
        [
          ["insert", "4"],
          ["insert", "5"],
          ["update", "4"]
        ]
      )
    }
    assert.notMatch(next.logs(), /Dropped/)
  })
})
