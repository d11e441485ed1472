import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import fc from "fast-check"
import {
  checkColumnNames,
  couldBeName,
  parseColumnList,
  parseIdentifier,
  parseTableName,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  tableDoesNotExist
} from "../../src/postgres/Identifiers.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"

const tableOf = (text: string) =>
  Result.match(parseTableName(text), {
    onFailure: (message) => message,
    onSuccess: ({ schema, name }) => [schema, name]
  })
const columnsOf = (text: string) =>
  Result.match(parseColumnList(text), {
    onFailure: (message) => message as string | ReadonlyArray<string>,
    onSuccess: (names) => names
  })

const tooLong = "Identifier is too long (max length is 63)"
const empty = "Invalid zero-length delimited identifier"
const special = (text: string) => `Invalid unquoted identifier contains special characters: ${text}`

describe("the table parameter", () => {
  it.each<readonly [string, string | ReadonlyArray<string>]>([
    ["items", ["public", "items"]],
    ["FOO", ["public", "foo"]],
    ["PUBLIC.Foo", ["public", "foo"]],
    ['"FOO"', ["public", "FOO"]],
    ['app."My Table"', ["app", "My Table"]],
    ['"a.b"."c.d"', ["a.b", "c.d"]],
    ['"say ""hi"""', ["public", 'say "hi"']],
    ['""""', ["public", '"']],
    ["_x$1", ["public", "_x$1"]],
    ["Ünïcode", ["public", "Ünïcode"]],
    ["ÀB", ["public", "Àb"]],
    ["表", ["public", "表"]],
    ["e\u0301t", ["public", "e\u0301t"]],
    ["a".repeat(63), ["public", "a".repeat(63)]],
    ["𝔞".repeat(63), ["public", "𝔞".repeat(63)]],
    ["", "can't be blank"],
    ["  ", "can't be blank"],
    [".x", empty],
    ["x.", empty],
    [".", empty],
    ['""', empty],
    ['s.""', empty],
    ["a b", special("a b")],
    [" a", special(" a")],
    ["1a", special("1a")],
    ["$a", special("$a")],
    ["a-b", special("a-b")],
    ["items;drop table items", special("items;drop table items")],
    ["items--", special("items--")],
    ['a"b', special('a"b')],
    ['"', special('"')],
    ['"a', special('"a')],
    ['"a.b', special('"a.b')],
    ["a\0b", special("a\0b")],
    ["a\nb", special("a\nb")],
    ["a\u00a0b", special("a\u00a0b")],
    ["😀", special("😀")],
    ['"a"b"', 'Invalid identifier with unescaped quote: a"b'],
    ['"a"""b"', 'Invalid identifier with unescaped quote: a"""b'],
    ["a.b.c", "Invalid relation identifier, too many delimiters: a.b.c"],
    ["a...b", "Invalid relation identifier, too many delimiters: a...b"],
    ["a".repeat(64), tooLong],
    [`"${"é".repeat(64)}"`, tooLong],
    [`x."${"a".repeat(64)}"`, tooLong]
  ])("%j means %j", (text, expected) => {
    assert.deepStrictEqual(tableOf(text), expected)
  })

  it("says which table is not there, quotes in names shown", () => {
    assert.strictEqual(
      tableDoesNotExist({ schema: "public", name: 'a"b' }),
      'Table "public"."a\\"b" does not exist. If the table name contains capitals or special characters you must quote it.'
    )
  })
})

describe("the columns parameter", () => {
  it.each<readonly [string, string | ReadonlyArray<string>]>([
    ["id", ["id"]],
    ["ID,Name", ["id", "name"]],
    ['a,"B c",d', ["a", "B c", "d"]],
    ['"x,y","say ""hi"""', ["x,y", 'say "hi"']],
    ["id,id", ["id", "id"]],
    ["id, name", special(" name")],
    ["id,", empty],
    [",id", empty],
    ["", empty],
    ["a.b", special("a.b")],
    ["count(*)", special("count(*)")],
    ["id,a".repeat(1) + "a".repeat(63), tooLong]
  ])("%j means %j", (text, expected) => {
    assert.deepStrictEqual(columnsOf(text), expected)
  })

  it("as a list is taken word for word", () => {
    assert.deepStrictEqual(checkColumnNames(["ID", "a b", '"q"']), Result.succeed(["ID", "a b", '"q"']))
    assert.deepStrictEqual(checkColumnNames(["a", ""]), Result.fail("Invalid zero-length identifier"))
  })
})

const name = fc.string({ unit: "binary", minLength: 1, maxLength: 63 }).filter((text) => !text.includes("\0"))

describe("quoted names", () => {
  it("are read back as they were", () => {
    fc.assert(
      fc.property(name, name, (schema, table) => {
        assert.deepStrictEqual(parseIdentifier(quoteIdentifier(table)), Result.succeed(table))
        assert.deepStrictEqual(
          parseTableName(quoteTable({ schema, name: table })),
          Result.succeed({ schema, name: table })
        )
        assert.deepStrictEqual(
          parseColumnList(`${quoteIdentifier(schema)},${quoteIdentifier(table)}`),
          Result.succeed([schema, table])
        )
      })
    )
  })

  it("are never read in any other way than Postgres would, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('"', ".", ",", "a", "B", "0", "$", " ", "é") }),
        (text) => {
          const parsed = parseIdentifier(text)
          if (Result.isSuccess(parsed) && !text.startsWith('"')) {
            assert.match(text, /^[\p{L}_][\p{L}\p{M}0-9_$]*$/u)
          }
          if (Result.isSuccess(parsed) && text.startsWith('"')) {
            assert.strictEqual(quoteIdentifier(parsed.success), text)
          }
          Result.isSuccess(parseTableName(text)) // total: never throws
          Result.isSuccess(parseColumnList(text))
        }
      )
    )
  })

  it("cannot hold a NUL", () => {
    assert.throws(() => quoteIdentifier("a\0b"), RangeError)
    assert.throws(() => quoteLiteral("a\0b"), RangeError)
    assert.isFalse(couldBeName("a\0b"))
    assert.isFalse(couldBeName(""))
    assert.isTrue(couldBeName('"; drop table x; --'))
  })
})

describe("Postgres", () => {
  const database = databaseForFile()

  it("reads quoted names and literals as what they were made from", async () => {
    const hostile = [
      "plain",
      `it's`,
      `"; drop table x; --`,
      "back\\slash",
      "\\'; select 1; --",
      "tab\tnew\nline",
      "é😀\u202e",
      "$1 $$ %s",
      "' || pg_sleep(1) || '",
      "E'"
    ]
    for (const text of hostile) {
      for (const conforming of ["on", "off"]) {
        await database().query(`SET standard_conforming_strings = ${conforming}`)
        const rows = await database().query(`SELECT${quoteLiteral(text)} AS ${quoteIdentifier(text)}`)
        assert.deepStrictEqual(rows, [{ [text]: text }])
      }
    }
    await database().query("RESET standard_conforming_strings")
  })

  it("reads random quoted names and literals as what they were made from", async () => {
    const unit = fc.constantFrom("'", '"', "\\", "a", " ", "é", "\n", "E", "$", ";", "-")
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, minLength: 1, maxLength: 20 }), async (text) => {
        const rows = await database().query(`SELECT${quoteLiteral(text)} AS ${quoteIdentifier(text)}`)
        assert.deepStrictEqual(rows, [{ [text]: text }])
      }),
      { numRuns: 200 }
    )
  })
})
