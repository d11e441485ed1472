import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { redact } from "../../src/config/Redaction.ts"
import { redactQuery } from "../../src/http/request/QueryString.ts"

describe("redaction", () => {
  it.each([
    ["GET /v1/shape?table=a&secret=hunter2&offset=-1", "GET /v1/shape?table=a&secret=[REDACTED]&offset=-1"],
    ["secret=hunter2", "secret=[REDACTED]"],
    ["?API_SECRET=hunter2", "?API_SECRET=[REDACTED]"],
    ["?%73ecret=hunter2", "?%73ecret=[REDACTED]"],
    ["?url=http://x?token=hunter2", "?url=http://x?token=[REDACTED]"],
    ["?a=?access_token=hunter2", "?a=?access_token=[REDACTED]"],
    ["?secret=a;hunter2'\"<hunter2&x=1", "?secret=[REDACTED]&x=1"],
    ["host=h password='a hunter2' port=1", "host=h password=[REDACTED] port=1"],
    ["(api_key=hunter2", "(api_key=[REDACTED]"],
    ["connect to postgresql://me:hunter2@db/x failed", "connect to postgresql://me:[REDACTED]@db/x failed"],
    ["postgres://me:hun/ter@2?#@db/x", "postgres://me:[REDACTED]@db/x"],
    ["http://me:hunter2@otel:4318/v1", "http://me:[REDACTED]@otel:4318/v1"],
    ["http://h:3000/v1/shape?table=a@b", "http://h:3000/v1/shape?table=a@b"],
    ["tokens=3 table=secret", "tokens=3 table=secret"],
    ["?api[key]=hunter2&secret%2500=hunter2", "?api[key]=[REDACTED]&secret%2500=[REDACTED]"],
    ["nothing here", "nothing here"]
  ])("%s", (text, expected) => assert.strictEqual(redact(text), expected))

  it("leaves no trace of a secret, wherever it stands in a query string", () => {
    const word = fc.constantFrom(
      "secret",
      "api_secret",
      "token",
      "access_token",
      "api_key",
      "password",
      "apiKey"
    )
    /** As people, frameworks and attackers spell it. */
    const spelling = fc.constantFrom<(name: string) => string>(
      (name) => name,
      (name) => name.toUpperCase(),
      (name) => `${name}[]`,
      (name) => `${name}[a]`,
      (name) => `params[${name}]`,
      (name) => `params%5B${name}%5D`,
      (name) => `subset__${name}`,
      (name) => `subset[params][${name}]`,
      (name) => `${name}%00`,
      (name) => `%20${name}`,
      (name) => `x-${name}`,
      (name) => `my.${name}`
    )
    const encoding = fc.constantFrom<(name: string) => string>(
      (name) => name,
      (name) => name.replaceAll(/[eaok]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
      (name) => name.replaceAll("e", "%2565").replaceAll("o", "%256F")
    )
    const names = fc.tuple(word, spelling, encoding).map(([name, spell, encode]) => encode(spell(name)))
    const other = fc.tuple(
      fc.constantFrom("table", "where", "params[1]", "="),
      fc.string().map(encodeURIComponent)
    )
    fc.assert(
      fc.property(fc.array(other), names, fc.string(), fc.array(other), (before, name, noise, after) => {
        const secret = `${encodeURIComponent(noise)}hunter2`
        const query = [...before, [name, secret] as const, ...after].map(([k, v]) => `${k}=${v}`).join("&")
        assert.notInclude(redact(`GET /v1/shape?${query}`), "hunter2")
        assert.notInclude(redactQuery(query), "hunter2")
      })
    )
  })
})
