import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { QueryParser } from "../../src/http/request/ParsedQuery.ts"
import { decodeQuery, redactQuery } from "../../src/http/request/QueryString.ts"

const decoded = (query: string): unknown => JSON.parse(JSON.stringify(decodeQuery(query).values))

describe("query strings", () => {
  const table: ReadonlyArray<readonly [string, unknown]> = [
    ["", {}],
    ["a=1", { a: "1" }],
    ["a=1&a=2", { a: "2" }],
    ["a", { a: "" }],
    ["a=", { a: "" }],
    ["&&a=1&", { a: "1" }],
    ["=x", { "": "x" }],
    ["a=b=c", { a: "b=c" }],
    ["a=x+y", { a: "x y" }],
    ["a=x%20y", { a: "x y" }],
    ["a=x%2By", { a: "x+y" }],
    ["a=%2520", { a: "%20" }],
    ["a=%C3%A9", { a: "é" }],
    ["a=\u00c3\u00a9", { a: "é" }],
    ["a=%ZZ", { a: "%ZZ" }],
    ["a=%", { a: "%" }],
    ["a=%4", { a: "%4" }],
    ["a=%ZZ+%41", { a: "%ZZ A" }],
    ["%61=1", { a: "1" }],
    ["a%5Bb%5D=1", { a: { b: "1" } }],
    ["a[b]=1&a[c]=2", { a: { b: "1", c: "2" } }],
    ["a[]=1&a[]=2", { a: ["1", "2"] }],
    ["a[b][c]=1", { a: { b: { c: "1" } } }],
    ["a[b][]=1&a[b][]=2", { a: { b: ["1", "2"] } }],
    ["a[][b]=1", { a: [{ b: "1" }] }],
    ["a[b]=1&a=2", { a: "2" }],
    ["a=1&a[b]=2", { a: { b: "2" } }],
    ["a[b=1", { "a[b": "1" }],
    ["[a]=1", { "[a]": "1" }],
    ["params[1]=x&params[2]=y", { params: { 1: "x", 2: "y" } }]
  ]
  it.each(table)("%s", (query, expected) => assert.deepStrictEqual(decoded(query), expected))

  it("escapes that are not UTF-8 are noticed, in names and values", () => {
    for (const query of ["a=%FF", "a=%C3", "%FF=a", "a=%ED%A0%80", "a=%C0%AF", "a=\u00ff"])
      assert.isFalse(decodeQuery(query).wellFormed, query)
    for (const query of ["a=%ZZ", "a=%F0%9F%98%80", "a=%"])
      assert.isTrue(decodeQuery(query).wellFormed, query)
  })

  it("no name reaches the prototype of anything", () => {
    const { values } = decodeQuery("__proto__=x&constructor=y&a[__proto__][polluted]=z")
    assert.strictEqual(values["__proto__"], "x")
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    assert.isUndefined(decodeQuery("a=1").values["toString"])
  })

  it("reads back what URLSearchParams writes", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: "grapheme" }).filter((name) => !name.includes("[")),
          fc.string({ unit: "grapheme" })
        ),
        (values) => {
          const { values: read, wellFormed } = decodeQuery(new URLSearchParams(values).toString())
          assert.isTrue(wellFormed)
          assert.deepStrictEqual({ ...read }, { ...values })
        }
      )
    )
  })

  it("deeply nested names cost nothing but their length", () => {
    const { values } = decodeQuery(`a${"[b]".repeat(3000)}=1`)
    assert.strictEqual(Object.keys(values).length, 1)
  })

  it("secrets are masked for the log, however they are spelt", () => {
    assert.strictEqual(
      redactQuery("table=t&secret=s3&API_SECRET=x&tok%65n=y&a=b&password"),
      "table=t&secret=[REDACTED]&API_SECRET=[REDACTED]&tok%65n=[REDACTED]&a=b&password"
    )
    assert.strictEqual(
      redactQuery("a=b&key=s3+cret%C3%A9&s3%20cret%C3%A9&c=d", "s3 cret\u00e9"),
      "a=b&[REDACTED]&[REDACTED]&c=d",
      "the service's own, under any name or none"
    )
  })
})

describe("parsed queries", () => {
  it("are shared between requests with the same text, and strangers do not push them out", () => {
    const parser = new QueryParser((query) => query["secret"] === "s")
    const own = parser.parse("table=t&offset=-1&secret=s")
    for (let i = 0; i < 3000; i++) parser.parse(`table=t&offset=-1&secret=${i}`)
    assert.strictEqual(parser.parse("table=t&offset=-1&secret=s"), own)
    assert.isFalse(parser.parse("table=t&secret=x").authorized)
    for (let i = 0; i < 3000; i++) parser.parse(`table=t&offset=${i}_0&secret=s`)
    assert.notStrictEqual(parser.parse("table=t&offset=-1&secret=s"), own, "memory is bounded")
  })

  it("that are long are not kept", () => {
    const parser = new QueryParser(() => true)
    const long = `table=${"x".repeat(5000)}`
    assert.notStrictEqual(parser.parse(long), parser.parse(long))
  })
})
