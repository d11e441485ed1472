import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { BucketFaultKind, BucketOperation } from "../../src/bucket/BucketFault.ts"
import {
  isConditionNotHeld,
  kindOfRefusal,
  readListPage,
  readRefusal,
  refusalText
} from "../../src/bucket/S3Answers.ts"
import { childText, parseXml } from "../../src/bucket/XmlElement.ts"

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const errorXml = (code: string, message = "words"): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escaped(message)}</Message><RequestId>1</RequestId></Error>`

describe("what a store refuses", () => {
  const refused: ReadonlyArray<readonly [BucketOperation, number, string, BucketFaultKind, string?]> = [
    ["create", 403, "AccessDenied", "denied"],
    ["create", 403, "InvalidAccessKeyId", "wrongKey"],
    ["create", 403, "SignatureDoesNotMatch", "wrongKey"],
    ["create", 400, "ExpiredToken", "wrongKey"],
    ["create", 400, "InvalidToken", "wrongKey"],
    ["create", 401, "Unauthorized", "wrongKey"],
    ["create", 401, "", "wrongKey"],
    ["create", 403, "RequestTimeTooSkewed", "clockSkew"],
    ["create", 400, "AuthorizationHeaderMalformed", "wrongRegion", "the region 'a' is wrong; expecting 'b'"],
    [
      "create",
      400,
      "AuthorizationHeaderMalformed",
      "wrongKey",
      "a non-empty Access Key (AKID) must be provided"
    ],
    ["list", 301, "PermanentRedirect", "wrongRegion"],
    ["list", 301, "", "wrongRegion"],
    ["list", 307, "TemporaryRedirect", "failing"],
    ["create", 404, "NoSuchBucket", "noBucket"],
    ["read", 404, "NoSuchBucket", "noBucket"],
    ["create", 404, "", "noBucket"],
    ["read", 404, "", "refused"],
    ["create", 503, "SlowDown", "throttled"],
    ["create", 503, "ServiceUnavailable", "failing"],
    ["create", 503, "", "failing"],
    ["create", 429, "", "throttled"],
    ["create", 500, "InternalError", "failing"],
    ["create", 502, "", "failing"],
    ["create", 504, "", "failing"],
    ["create", 507, "", "failing"],
    ["create", 409, "ConditionalRequestConflict", "failing"],
    ["create", 409, "OperationAborted", "failing"],
    ["create", 409, "", "failing"],
    ["create", 400, "RequestTimeout", "timedOut"],
    ["create", 408, "", "timedOut"],
    ["create", 403, "QuotaExceeded", "failing"],
    ["create", 501, "NotImplemented", "unsafe"],
    ["list", 501, "NotImplemented", "refused"],
    ["create", 400, "XAmzContentSHA256Mismatch", "failing"],
    ["create", 400, "EntityTooLarge", "refused"],
    ["remove", 405, "MethodNotAllowed", "refused"],
    ["create", 403, "constructor", "denied"],
    ["create", 403, "", "denied"]
  ]
  for (const [operation, status, code, kind, message = "words"] of refused)
    it(`${operation}, ${status} ${code}: ${kind}`, () => {
      const body = code === "" ? "" : errorXml(code, message)
      assert.strictEqual(kindOfRefusal(operation, readRefusal(status, body)), kind)
    })

  it.each<readonly [number, string, boolean]>([
    [412, "PreconditionFailed", true],
    [412, "", true],
    [304, "", true],
    [409, "PreconditionFailed", true],
    [409, "ObjectAlreadyExists", true],
    [409, "ConditionalRequestConflict", false],
    [409, "OperationAborted", false],
    [409, "", false],
    [403, "PreconditionFailed", false],
    [500, "", false]
  ])("a condition has not held: %d %s, %s", (status, code, expected) =>
    assert.strictEqual(isConditionNotHeld({ status, code, message: "" }), expected)
  )

  it("says in one line what the store says, and no more of a page for people than fits", () => {
    assert.strictEqual(
      refusalText(readRefusal(403, errorXml("AccessDenied", "Access\n  Denied <you> & all"))),
      "403 AccessDenied, Access Denied <you> & all"
    )
    assert.strictEqual(
      refusalText(
        readRefusal(404, "<html><head><title>404</title></head>\n<body>not <b>found</b></body></html>")
      ),
      "404, 404 not found"
    )
    assert.strictEqual(refusalText(readRefusal(502, "")), "502")
    assert.isBelow(refusalText(readRefusal(500, "x".repeat(100_000))).length, 320)
    assert.isBelow(refusalText(readRefusal(500, errorXml("A", "x".repeat(100_000)))).length, 320)
  })
})

const listXml = (contents: string, truncated = "false"): string =>
  `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>` +
  `<Prefix></Prefix><IsTruncated>${truncated}</IsTruncated>${contents}</ListBucketResult>`
const object = (key: string, size = "12", modified = "2026-01-02T03:04:05.678Z"): string =>
  `<Contents><Key>${escaped(key)}</Key><LastModified>${modified}</LastModified><ETag>&#34;x&#34;</ETag><Size>${size}</Size><Owner><ID>1</ID></Owner></Contents>`

describe("a page of a listing", () => {
  it("has keys, sizes and times", () => {
    assert.deepStrictEqual(readListPage(listXml(`${object("a")}${object("b&c", "0")}`, "true")), {
      objects: [
        { key: "a", bytes: 12, modifiedMillis: Date.UTC(2026, 0, 2, 3, 4, 5, 678) },
        { key: "b&c", bytes: 0, modifiedMillis: Date.UTC(2026, 0, 2, 3, 4, 5, 678) }
      ],
      isTruncated: true
    })
    assert.deepStrictEqual(readListPage(listXml("")), { objects: [], isTruncated: false })
  })

  it.each([
    ["half a page", listXml(object("a")).slice(0, -30)],
    ["no word about more", listXml("").replace("<IsTruncated>false</IsTruncated>", "")],
    ["another word about it", listXml("", "maybe")],
    ["a size that is none", listXml(object("a", "many"))],
    ["no size", listXml(object("a", ""))],
    ["a time that is none", listXml(object("a", "1", "yesterday"))],
    ["no key", listXml("<Contents><Size>1</Size></Contents>")],
    ["another document", errorXml("AccessDenied")],
    ["a page for people", "<!DOCTYPE html><html><body>Welcome</body></html>"],
    ["nothing", ""]
  ])("is none: %s", (_, document) => assert.isUndefined(readListPage(document)))

  it("keeps every key that XML can carry", () => {
    // What XML has no place for is refused in a prefix, and is not in a key.
    const character = fc
      .string({ unit: "grapheme", maxLength: 1 })
      .filter((text) => !/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u.test(text))
    const keys = fc.array(character, { minLength: 1, maxLength: 30 }).map((all) => all.join(""))
    fc.assert(
      fc.property(keys, (key) => {
        assert.strictEqual(readListPage(listXml(object(key)))?.objects[0]?.key, key)
        const numbered = [...key].map((one, i) =>
          i % 2 === 0 ? `&#${one.codePointAt(0)};` : `&#x${one.codePointAt(0)?.toString(16)};`
        )
        assert.strictEqual(
          readListPage(
            listXml("").replace("</List", `${object("").replace("<Key>", `<Key>${numbered.join("")}`)}</List`)
          )?.objects[0]?.key,
          key
        )
      })
    )
  })
})

describe("XML", () => {
  it.each([
    ["<a/>", "a", ""],
    ["<a></a>", "a", ""],
    [
      "\uFEFF<?xml version='1.0'?>\n<!-- b -- c --><x:a y=\"1\" z='>'>t&lt;<![CDATA[<&]]>u</x:a>\n",
      "a",
      "t<<&u"
    ],
    ["<a>&#65;&#x1F600;&apos;</a>", "a", "A😀'"]
  ])("reads %j", (document, name, text) => {
    const found = parseXml(document)
    assert.strictEqual(found?.name, name)
    assert.strictEqual(found?.text, text)
  })

  it.each([
    "",
    "text",
    "<a>",
    "</a>",
    "<a></b>",
    "<a/><b/>",
    "<a>&nothing;</a>",
    "<a>&</a>",
    "<a>&#x110000;</a>",
    "<a b=c/>",
    "<!DOCTYPE a><a/>",
    "<a/>text",
    "<a></a></a>",
    "<a>".repeat(20) + "</a>".repeat(20)
  ])("refuses %j", (document) => assert.isUndefined(parseXml(document)))

  it("gives back what was written", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 20 })
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (texts) => {
        const document = `<r>${texts.map((one, i) => `<e${i}>${escaped(one)}</e${i}>`).join("\n ")}</r>`
        const root = parseXml(document)
        assert.deepStrictEqual(
          texts.map((_, i) => root && childText(root, `e${i}`)),
          texts
        )
        for (let end = 0; end < document.length; end += 7)
          assert.isUndefined(parseXml(document.slice(0, end)))
      })
    )
  })

  it("never throws, and takes time that grows with the length only", () => {
    const piece = fc.constantFrom(
      "<",
      ">",
      "/",
      "a",
      "&",
      ";",
      "#",
      "<!--",
      "-->",
      "<![CDATA[",
      "]]>",
      '"',
      "=",
      " ",
      "<?",
      "?>",
      "<a>",
      "</a>"
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const found = parseXml(pieces.join(""))
        assert.isTrue(found === undefined || found.name !== "")
      })
    )
    for (const hostile of ["<!--", "<a ", "<a b='c' ", "&#", "<", "<![CDATA["])
      assert.isUndefined(parseXml(`<r>${hostile.repeat(200_000)}`))
  })
})
