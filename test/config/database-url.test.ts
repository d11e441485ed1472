import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import * as fc from "fast-check"
import { parseDatabaseUrl } from "../../src/config/DatabaseUrl.ts"

const target = (url: string) => {
  const { password, ...rest } = Result.getOrThrow(parseDatabaseUrl(url))
  return { ...rest, password: password && Redacted.value(password) }
}

describe("database URLs", () => {
  it("are read with the defaults of Postgres", () => {
    assert.deepStrictEqual(
      target("postgresql://me:pw@db.example:5433/shop?sslmode=require&application_name=x"),
      {
        host: "db.example",
        port: 5433,
        database: "shop",
        username: "me",
        password: "pw",
        sslMode: "require"
      }
    )
    const plain = {
      host: "h",
      port: 5432,
      database: "u",
      username: "u",
      password: undefined,
      sslMode: "prefer" as const
    }
    assert.deepStrictEqual(target("postgres://u@h"), plain)
    assert.deepStrictEqual(target("postgres://u:@h:/"), plain)
    assert.strictEqual(target("postgres://u@[::1]:5555/d").host, "::1")
    assert.strictEqual(target("postgres://u@[::1]:5555/d").port, 5555)
    assert.strictEqual(target("postgres://u:p%40ss%2F%3A@h/my%20db").password, "p@ss/:")
    assert.strictEqual(target("postgres://u:p%40ss%2F%3A@h/my%20db").database, "my db")
    assert.strictEqual(target("postgres://u:p@ss:word@h/d").password, "p@ss:word")
  })

  it("may have blanks and line breaks around them, as secrets from files do", () => {
    assert.deepStrictEqual(target(" postgres://u:p@h/d\n"), target("postgres://u:p@h/d"))
    assert.strictEqual(target("\tpostgres://u:p@h/d?sslmode=require\r\n").sslMode, "require")
  })

  it.each([
    ["postgres://u:hunter2@h1,h2:5432/d", "several hosts are not supported: name the primary"],
    ["postgres://u:hunter2@h1:5432,h2:5433/d", "several hosts are not supported"],
    ["", 'invalid URL scheme: ""'],
    ["shop", 'invalid URL scheme: ""'],
    ["u:hunter2@h/d", 'invalid URL scheme: ""'],
    ["mysql://u:hunter2@h/d", 'invalid URL scheme: "mysql"'],
    ["postgres://u:hunter2@", "missing host"],
    ["postgres://u:hunter2@/d", "missing host"],
    ["postgres:///d", "missing host"],
    ["postgres://h/d", "invalid or missing username"],
    ["postgres://:hunter2@h/d", "invalid or missing username"],
    ["postgres://%zz:hunter2@h/d", "invalid or missing username"],
    ["postgres://user:hunter2/3@h/d", "invalid or missing username"],
    ["postgres://u:hunter2%@h/d", "invalid password"],
    ["postgres://u@h:hunter2/d", "invalid port"],
    ["postgres://u@h:0/d", "invalid port"],
    ["postgres://u@h:65536/d", "invalid port"],
    ["postgres://u@h/%zz", "invalid percent-encoding in the database name"],
    ["postgres://u@h/d?sslmode=sometimes", 'invalid "sslmode" value: "sometimes"'],
    ["postgres://u@h/d?sslmode=", 'invalid "sslmode" value: ""'],
    [
      "postgres://u:hunter2@h/d?sslmode=verify-full",
      'unsupported "sslmode" value "verify-full". Use sslmode=require and set'
    ],
    ["postgres://u@h/d?sslmode=verify-ca", 'unsupported "sslmode" value "verify-ca"'],
    ["postgres://u@h/d?replication=database", 'unsupported "replication" query option']
  ])("%s is refused: %s", (url, reason) => {
    const parsed = parseDatabaseUrl(url)
    assert.isTrue(Result.isFailure(parsed))
    if (Result.isSuccess(parsed)) return
    assert.isTrue(parsed.failure.startsWith(reason), parsed.failure)
    assert.notInclude(parsed.failure, "hunter2")
  })

  it("carry any user name, password and database when encoded", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1 })
    fc.assert(
      fc.property(text, text, text, (username, password, database) => {
        const [u, p, d] = [username, password, database].map(encodeURIComponent)
        const read = target(`postgresql://${u}:${p}@host/${d}`)
        assert.deepStrictEqual([read.username, read.password, read.database], [username, password, database])
      })
    )
  })
})
