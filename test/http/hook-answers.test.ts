import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HTTPException } from "hono/http-exception"
import { type Authorize, Refused } from "../../src/http/hook/Authorize.ts"
import { recordingLogger } from "../storage/support.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type Received } from "./support/harness.ts"

const target = "/v1/shape?table=items&offset=-1&params[1]=asked&where=name%20%3D%20%241"

interface Asked {
  readonly received: Received
  /** What the hook's answer made of `params`. */
  readonly params: Readonly<Record<string, string>> | undefined
  readonly log: ReadonlyArray<string>
}

/** Asks once with a hook as programs in JavaScript have them. */
const askWith = (hook: (shape: object) => unknown, url = target) => {
  const store = new FakeStore()
  const log: Array<string> = []
  let params: Asked["params"]
  const conditions = {
    where: (_table: unknown, sql: string, given: Readonly<Record<string, string>>) => {
      params = given
      return Effect.succeed({ sql, expression: null })
    },
    subset: () =>
      Effect.succeed({ where: undefined, orderBy: undefined, limit: undefined, offset: undefined })
  }
  const authorize = ((request) => hook(request.shape)) as Authorize
  return Effect.gen(function* () {
    yield* activate
    log.length = 0
    const received = yield* ask(url)
    return { received, params, log } satisfies Asked
  }).pipe(Effect.provide(apiLayer(store, { conditions, authorize })), Effect.provide(recordingLogger(log)))
}

const returned = (answer: object) => askWith((shape) => Effect.succeed({ ...shape, ...answer }))

describe("what a hook returns", () => {
  const meant: ReadonlyArray<readonly [string, unknown, Readonly<Record<string, string>>]> = [
    ["texts by number", { 1: "a", 2: "b" }, { 1: "a", 2: "b" }],
    ["numbers, as identifiers are in a program", { 1: 7, 2: 1.5 }, { 1: "7", 2: "1.5" }],
    ["bigints and booleans", { 1: 2n ** 63n, 2: false }, { 1: "9223372036854775808", 2: "false" }],
    ["a list", ["a", 7, true], { 1: "a", 2: "7", 3: "true" }],
    ["an empty list", [], {}]
  ]
  for (const [name, params, expected] of meant)
    it.effect(`may have parameters that are ${name}`, () =>
      Effect.gen(function* () {
        const asked = yield* returned({ where: "id = $1", params })
        assert.strictEqual(asked.received.status, 200)
        assert.deepStrictEqual({ ...asked.params }, { ...expected })
        assert.deepStrictEqual(asked.log, [])
      })
    )

  it.effect("leaves the client's own parameters to the checks that all requests have", () =>
    Effect.gen(function* () {
      const asked = yield* askWith((shape) => Effect.succeed(shape), target.replace("params[1]", "params[x]"))
      assert.strictEqual(asked.received.status, 200, "the conditions of this test take any name")
      assert.deepStrictEqual({ ...asked.params }, { x: "asked" })
    })
  )

  const refused: ReadonlyArray<readonly [object, RegExp]> = [
    [{ params: { 1: {} } }, /params: \$1 must be a text, a number or a boolean, and is a Object/],
    [{ params: [new Date(0)] }, /params: \$1 must be .* and is a Date/],
    [{ params: [null] }, /params: \$1 must be .* and is null/],
    [{ params: [Number.NaN] }, /params: \$1 must be .* and is NaN/],
    [{ params: { 1: undefined } }, /params: \$1 must be .* and is undefined/],
    [{ params: { 0: "a" } }, /params must be numbered from 1 on without a gap: "1" is not among them/],
    [{ params: { user: 3 } }, /params must be numbered from 1 on/],
    [{ params: { 1: "a", 3: "b" } }, /"2" is not among them/],
    [{ params: "a" }, /params must be an object with the numbers/],
    [{ where: null }, /where must be a text, or left out/],
    [{ where: " " }, /where is empty: leave it out for all rows, or return 'false' for none/],
    [{ were: "project_id = 1" }, /it returned "were", which no shape has: table, where/],
    [{ table: ["items"] }, /table must be a text/],
    [{ columns: ["id", undefined] }, /columns and queryable_columns must be texts/],
    [{ replica: "Full" }, /replica must be 'default' or 'full'/],
    [{ log: true }, /log must be 'full' or 'changes_only'/]
  ]
  for (const [answer, said] of refused)
    it.effect(`is a 500 and a line that names the hook: ${said.source.slice(0, 60)}`, () =>
      Effect.gen(function* () {
        const { log, received } = yield* returned(answer)
        assert.strictEqual(received.status, 500)
        assert.deepStrictEqual(received.json(), { error: "Internal server error" })
        assert.strictEqual(log.length, 1)
        assert.match(
          log[0] ?? "",
          /^The authorize hook of this program failed for a GET request for table "items": /
        )
        assert.match(log[0] ?? "", said)
      })
    )

  it.effect("is no Response: that has to be thrown", () =>
    Effect.gen(function* () {
      const { log, received } = yield* askWith(() => Effect.succeed(new Response(null, { status: 403 })))
      assert.strictEqual(received.status, 500)
      assert.match(log[0] ?? "", /it returned a Response: throw it, to refuse/)
    })
  )
})

const valuesOf = (received: Received, name: string) =>
  received.headers.flatMap((item, i) => (i % 2 === 0 && item === name ? [received.headers[i + 1]] : []))

const response = () =>
  new Response("Not today", { status: 403, headers: { "x-reason": "moon", "content-type": "text/plain" } })

describe("a hook that refuses", () => {
  it.effect("may do so with any 4xx, and with headers", () =>
    Effect.gen(function* () {
      for (const [status, headers] of [
        [401, { "WWW-Authenticate": 'Bearer realm="app"' }],
        [403, {}],
        [404, {}],
        [422, {}],
        [429, { "retry-after": "30" }],
        [503, { "retry-after": "5" }]
      ] as const) {
        const { log, received } = yield* askWith(() => Effect.fail(Refused.because(status, "no", headers)))
        assert.strictEqual(received.status, status)
        assert.deepStrictEqual(received.json(), { message: "no" })
        for (const [name, value] of Object.entries(headers))
          assert.deepStrictEqual(valuesOf(received, name.toLowerCase()), [value])
        assert.deepStrictEqual(valuesOf(received, "cache-control"), ["no-store"])
        assert.deepStrictEqual(valuesOf(received, "content-type"), ["application/json; charset=utf-8"])
        assert.deepStrictEqual(log, [])
      }
    })
  )

  it.effect("may choose what is sent, but not how it is framed; vary keeps what Baton has to say", () =>
    Effect.gen(function* () {
      const headers = {
        "content-type": "application/problem+json",
        "Content-Length": "1",
        "transfer-encoding": "chunked",
        vary: "x-team",
        "cache-control": "private, max-age=5"
      }
      const { received } = yield* askWith(() =>
        Effect.fail(new Refused({ status: 403, body: "{}", headers }))
      )
      assert.deepStrictEqual(valuesOf(received, "content-type"), ["application/problem+json"])
      assert.deepStrictEqual(valuesOf(received, "cache-control"), ["private, max-age=5"])
      assert.deepStrictEqual(valuesOf(received, "vary"), ["accept-encoding, authorization, cookie, x-team"])
      assert.deepStrictEqual(valuesOf(received, "content-length"), [])
      assert.deepStrictEqual(valuesOf(received, "transfer-encoding"), [])
    })
  )

  const ways: ReadonlyArray<readonly [string, () => unknown]> = [
    ["throws", () => assert.fail("replaced below")],
    ["dies with", () => Effect.die(response())],
    ["fails with", () => Effect.fail(response())],
    ["throws an error of Hono with", () => Effect.die(new HTTPException(403, { res: response() }))]
  ]
  for (const [way, hook] of ways)
    it.effect(`is understood when it ${way} a Response`, () =>
      Effect.gen(function* () {
        const { log, received } = yield* askWith(() => {
          // oxlint-disable-next-line no-throw-literal -- as programs do that speak the Fetch API
          if (way === "throws") throw response() as unknown as Error
          return hook()
        })
        assert.strictEqual(received.status, 403)
        assert.strictEqual(received.text, "Not today")
        assert.deepStrictEqual(valuesOf(received, "content-type"), ["text/plain"])
        assert.deepStrictEqual(valuesOf(received, "x-reason"), ["moon"])
        assert.deepStrictEqual(log, [])
      })
    )

  it.effect("with what cannot be sent is a 500, and the log says why", () =>
    Effect.gen(function* () {
      const bad: ReadonlyArray<readonly [() => unknown, RegExp]> = [
        [
          () => Effect.die(Response.redirect("http://app.example/login")),
          /status 302.*cannot follow a redirect/
        ],
        [() => Effect.die(new Response("{}")), /The Response that it threw has the status 200/],
        [
          () => Effect.fail({ _tag: "Refused", status: 409, body: "{}" }),
          /409, which tells clients to fetch/
        ],
        [() => Effect.fail({ _tag: "Refused", status: 403 }), /the body of Refused must be a text/],
        [() => Effect.fail(Refused.because(403, "no", { "a b": "c" })), /a header "a b" that cannot be sent/],
        [
          () => Effect.fail(Refused.because(403, "no", { a: "b\r\nc: d" })),
          /a header "a" that cannot be sent/
        ]
      ]
      for (const [hook, said] of bad) {
        const { log, received } = yield* askWith(hook)
        assert.strictEqual(received.status, 500)
        assert.strictEqual(received.text, '{"error":"Internal server error"}')
        assert.match(log.join("\n"), said)
      }
      for (const status of [200, 302, 399, 409, 600, 403.5]) {
        const { log, received } = yield* askWith(() => Effect.fail(Refused.because(status, "no")))
        assert.strictEqual(received.status, 500)
        assert.match(log[0] ?? "", /: Refused has the status \S+\. A refusal has 400 to 599, but not 409/)
      }
    })
  )
})
