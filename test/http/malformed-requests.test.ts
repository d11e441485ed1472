import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { conditionRefused } from "../../src/http/shape/Conditions.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask, type Asked } from "./support/harness.ts"

const blank = ["can't be blank"]
const wrong = ["is invalid"]
const missingTable = (schema: string, name: string) => [
  `Table "${schema}"."${name}" does not exist. If the table name contains capitals or special characters you must quote it.`
]
const long = "x".repeat(64)

/** Query of a GET, and the `errors` of its answer. */
const queries: ReadonlyArray<readonly [string, unknown]> = [
  // stage 1: types of everything, and the offset's presence
  ["", { offset: blank }],
  ["table=items", { offset: blank }],
  ["table=items&offset=", { offset: blank }],
  ["table=items&offset=%20%09", { offset: blank }],
  ["table=items&offset=+", { offset: blank }],
  ["table[]=items", { offset: blank, table: wrong }],
  ["table[a]=items&offset=-1", { table: wrong }],
  ["table=items&offset[]=-1", { offset: wrong }],
  ["table=items&offset[x]=-1", { offset: wrong }],
  ["table=items&offset=-1&handle[]=x", { handle: wrong }],
  ["table=items&offset=-1&where[]=x", { where: wrong }],
  ["table=items&offset=-1&where[a]=x", { where: wrong }],
  ["table=items&offset=-1&replica=maybe", { replica: wrong }],
  ["table=items&offset=-1&replica=FULL", { replica: wrong }],
  ["table=items&offset=-1&replica[]=full", { replica: wrong }],
  ["table=items&offset=-1&log=none", { log: wrong }],
  ["table=items&offset=-1&log=Full", { log: wrong }],
  ["table=items&offset=-1&log=%20full", { log: wrong }],
  ["table=items&offset=-1&columns[a]=id", { columns: wrong }],
  ["table=items&offset=-1&columns[][a]=id", { columns: wrong }],
  ["table=items&offset=-1&queryable_columns[a]=id", { queryable_columns: wrong }],
  ["table=items&offset=-1&params=x", { params: wrong }],
  ["table=items&offset=-1&params=%7B%221%22%3A%22x%22%7D", { params: wrong }],
  ["table=items&offset=-1&params[]=x", { params: wrong }],
  ["table=items&offset=-1&params[1][a]=x", { params: wrong }],
  ["table=items&offset=-1&params[1][]=x", { params: wrong }],
  ["table=items&offset=-1&experimental_compaction=yes", { experimental_compaction: wrong }],
  ["table=items&offset=-1&experimental_compaction[]=true", { experimental_compaction: wrong }],
  ["table=items&offset=0_0&live=true&experimental_live_sse=banana", { live_sse: wrong }],
  ["table=items&offset=-1&experimental_live_sse=TRUE", { live_sse: wrong }],
  ["table=items&offset=-1&subset=x", { subset: wrong }],
  ["table=items&offset=-1&subset[]=x", { subset: wrong }],
  [
    "replica=x&log=y&columns[a]=1&params=z",
    { columns: wrong, log: wrong, offset: blank, params: wrong, replica: wrong }
  ],
  [
    "table=nope&columns=id,%20name&queryable_columns[]=",
    {
      columns: ["Invalid unquoted identifier contains special characters:  name"],
      offset: blank,
      queryable_columns: ["Invalid zero-length identifier"]
    }
  ],
  [
    "table=nope&offset=abc&replica=x&columns=id,",
    { columns: ["Invalid zero-length delimited identifier"], replica: wrong }
  ],
  // of two faults in different stages, the one of the earlier stage
  ["table=nope&offset=abc&live=true", { offset: ["has invalid format"] }],
  ["table=nope&offset=1_0&live_sse=true", { handle: ["can't be blank when offset != -1"] }],
  ["table=nope&offset=-1&live=true&live_sse=true", { live: ["can't be true when offset == -1"] }],
  ["table=a.b.c&offset=-1&live_sse=true", { live_sse: ["can't be true unless live is also true"] }],
  [
    "table=nope&offset=-1&columns=name&where=qty%20%3E&subset__limit=0",
    { table: missingTable("public", "nope") }
  ],
  [
    "table=items&offset=-1&queryable_columns=id,zz&columns=id,nope&where=qty%20%3E",
    { queryable_columns: ["The following queryable columns are not found on the table: zz"] }
  ],
  [
    "table=items&offset=-1&columns=id,nope&where=qty%20%3E&subset__limit=0",
    { columns: ["The following columns are not found on the table: nope"] }
  ],
  ["table=items&offset=-1&where=qty%20%3E&subset__limit=0", { where: ["refused: qty >"] }],
  // stage 2: the offset's format
  ["table=items&offset=abc", { offset: ["has invalid format"] }],
  ["table=items&offset=10", { offset: ["has invalid format"] }],
  ["table=items&offset=1_2_3", { offset: ["has invalid format"] }],
  ["table=items&offset=0_", { offset: ["has invalid format"] }],
  ["table=items&offset=_0", { offset: ["has invalid format"] }],
  ["table=items&offset=_", { offset: ["has invalid format"] }],
  ["table=items&offset=5_-1", { offset: ["has invalid format"] }],
  ["table=items&offset=-5_0", { offset: ["has invalid format"] }],
  ["table=items&offset=0_-00x", { offset: ["has invalid format"] }],
  ["table=items&offset=-2_0", { offset: ["has invalid format"] }],
  ["table=items&offset=-2", { offset: ["has invalid format"] }],
  ["table=items&offset=0_INF", { offset: ["has invalid format"] }],
  ["table=items&offset=NOW", { offset: ["has invalid format"] }],
  ["table=items&offset=-1%20", { offset: ["has invalid format"] }],
  ["table=items&offset=%20now", { offset: ["has invalid format"] }],
  ["table=items&offset=0x1_0", { offset: ["has invalid format"] }],
  ["table=items&offset=1.5_0", { offset: ["has invalid format"] }],
  ["table=items&offset=1e3_0", { offset: ["has invalid format"] }],
  ["table=items&offset=inf_0", { offset: ["has invalid format"] }],
  ["table=items&offset=%D9%A1_0", { offset: ["has invalid format"] }],
  // stage 3: a handle where one is needed
  ["table=items&offset=0_0", { handle: ["can't be blank when offset != -1"] }],
  ["table=items&offset=0_inf&handle=", { handle: ["can't be blank when offset != -1"] }],
  ["table=items&offset=5_0&handle=%20", { handle: ["can't be blank when offset != -1"] }],
  ["offset=0_0&live=true", { handle: ["can't be blank when offset != -1"] }],
  // stage 4 and 5: live
  ["table=items&offset=-1&live=true", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live=", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live=0", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live=False", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live=banana", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1&live[]=x", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=-1_0&live=true", { live: ["can't be true when offset == -1"] }],
  ["table=items&offset=now&live=true", { live: ["can't be true when offset is 'now'"] }],
  ["table=items&offset=-1&live_sse=true", { live_sse: ["can't be true unless live is also true"] }],
  ["table=items&offset=-1&live_sse", { live_sse: ["can't be true unless live is also true"] }],
  ["table=items&offset=-1&live=false&live_sse=1", { live_sse: ["can't be true unless live is also true"] }],
  [
    "table=items&offset=-1&experimental_live_sse=true",
    { live_sse: ["can't be true unless live is also true"] }
  ],
  // stage 6: the table
  ["offset=-1", { table: blank }],
  ["offset=-1&table=", { table: blank }],
  ["offset=-1&table=%20%20", { table: blank }],
  ["offset=-1&table=.x", { table: ["Invalid zero-length delimited identifier"] }],
  ["offset=-1&table=x.", { table: ["Invalid zero-length delimited identifier"] }],
  ["offset=-1&table=%22%22", { table: ["Invalid zero-length delimited identifier"] }],
  ["offset=-1&table=a-b", { table: ["Invalid unquoted identifier contains special characters: a-b"] }],
  ["offset=-1&table=1a", { table: ["Invalid unquoted identifier contains special characters: 1a"] }],
  [
    "offset=-1&table=%20items",
    { table: ["Invalid unquoted identifier contains special characters:  items"] }
  ],
  [
    "offset=-1&table=items%3B",
    { table: ["Invalid unquoted identifier contains special characters: items;"] }
  ],
  ["offset=-1&table=%22a%22b%22", { table: ['Invalid identifier with unescaped quote: a"b'] }],
  ["offset=-1&table=a.b.c", { table: ["Invalid relation identifier, too many delimiters: a.b.c"] }],
  [`offset=-1&table=${long}`, { table: ["Identifier is too long (max length is 63)"] }],
  ["offset=-1&table=nope", { table: missingTable("public", "nope") }],
  ["offset=-1&table=other.items", { table: missingTable("other", "items") }],
  ["offset=-1&table=%22ITEMS%22", { table: missingTable("public", "ITEMS") }],
  ["offset=-1&table=%22a%22%22b%22", { table: missingTable("public", 'a\\"b') }],
  ["offset=-1&table=%22a.b%22", { table: missingTable("public", "a.b") }],
  ["offset=-1&table=%22a%00b%22", { table: missingTable("public", "a\0b") }],
  ["offset=-1&table=empty", { table: missingTable("public", "empty") }],
  ["offset=0_0&handle=x&table=nope", { table: missingTable("public", "nope") }],
  // stage 6: its columns
  ["offset=-1&table=items&columns=id,", { columns: ["Invalid zero-length delimited identifier"] }],
  ["offset=-1&table=items&columns=,id", { columns: ["Invalid zero-length delimited identifier"] }],
  [
    "offset=-1&table=items&columns=id,%20name",
    { columns: ["Invalid unquoted identifier contains special characters:  name"] }
  ],
  [
    "offset=-1&table=items&columns=id,na-me",
    { columns: ["Invalid unquoted identifier contains special characters: na-me"] }
  ],
  ["offset=-1&table=items&columns[]=id&columns[]=", { columns: ["Invalid zero-length identifier"] }],
  [
    "offset=-1&table=items&columns=name",
    { columns: ["The list of columns must include all primary key columns, missing: id"] }
  ],
  [
    "offset=-1&table=items&columns[]=name",
    { columns: ["The list of columns must include all primary key columns, missing: id"] }
  ],
  [
    "offset=-1&table=items&columns=%22ID%22",
    { columns: ["The list of columns must include all primary key columns, missing: id"] }
  ],
  [
    "offset=-1&table=items&columns=id,nope",
    { columns: ["The following columns are not found on the table: nope"] }
  ],
  [
    "offset=-1&table=items&columns=id,id",
    { columns: ["The following columns are not found on the table: id"] }
  ],
  [
    "offset=-1&table=nopk&columns=a",
    { columns: ["The list of columns must include all primary key columns, missing: b, c"] }
  ],
  [
    "offset=-1&table=gen&columns=id,gen_a",
    { columns: ["The following columns are generated and cannot be included in the shape: gen_a"] }
  ],
  [
    "offset=-1&table=gen",
    {
      columns: [
        "The following columns are generated and cannot be included in the shape: gen_a. You can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query param"
      ]
    }
  ],
  [
    "offset=-1&table=items&queryable_columns=name",
    { queryable_columns: ["The list of queryable columns must include all primary key columns, missing: id"] }
  ],
  [
    "offset=-1&table=items&queryable_columns=id,zz",
    { queryable_columns: ["The following queryable columns are not found on the table: zz"] }
  ],
  [
    "offset=-1&table=items&queryable_columns=id&columns=id,name",
    { columns: ["The following columns are not found on the table: name"] }
  ],
  // stage 6: its condition (the texts are the expression engine's; here one stands in for it)
  ["offset=-1&table=items&where=qty%20%3E", { where: ["refused: qty >"] }],
  ["offset=-1&table=items&where=x%20%3D%20%241&params[2]=y", { params: ["refused params"] }],
  // stage 7: a subset
  [
    "offset=-1&table=items&subset__limit=0&subset__order_by=id",
    { subset: { limit: ["must be greater than 0"] } }
  ],
  [
    "offset=-1&table=items&subset__limit=-1&subset__order_by=id",
    { subset: { limit: ["must be greater than 0"] } }
  ],
  ["offset=-1&table=items&subset__limit=x", { subset: { limit: wrong } }],
  ["offset=-1&table=items&subset__limit=1.5", { subset: { limit: wrong } }],
  ["offset=-1&table=items&subset__limit=99999999999999999999999999999999", { subset: { limit: wrong } }],
  [
    "offset=-1&table=items&subset__offset=-1&subset__order_by=id",
    { subset: { offset: ["must be greater than or equal to 0"] } }
  ],
  ["offset=-1&table=items&subset__offset[]=1", { subset: { offset: wrong } }],
  [
    "offset=-1&table=items&subset__limit=5",
    { subset: { order_by: ["order_by is required when limit or offset is present"] } }
  ],
  [
    "offset=-1&table=items&subset__offset=0",
    { subset: { order_by: ["order_by is required when limit or offset is present"] } }
  ],
  ["offset=-1&table=items&subset__params=x", { subset: { params: ["params must be valid JSON"] } }],
  ["offset=-1&table=items&subset__params=%5B1%5D", { subset: { params: ["params must be a JSON object"] } }],
  ["offset=-1&table=items&subset__params=5", { subset: { params: ["params must be a JSON object"] } }],
  ["offset=-1&table=items&subset__params=null", { subset: { params: ["params must be a JSON object"] } }],
  [
    "offset=-1&table=items&subset__where=ok&subset__params[a]=1",
    { subset: { params: ["Parameters can only use numbers as keys"] } }
  ],
  [
    "offset=-1&table=items&subset__where=ok&subset__params[2]=1",
    { subset: { params: ["Parameters must be numbered sequentially, starting from 1"] } }
  ],
  [
    "offset=-1&table=items&subset__where=ok&subset__params[0]=1",
    { subset: { params: ["Parameters must be numbered sequentially, starting from 1"] } }
  ],
  // all that is wrong with its parameters, together
  [
    "offset=-1&table=items&subset__limit=0&subset__offset=-1&subset__params=x&subset__where[]=1",
    {
      subset: {
        limit: ["must be greater than 0"],
        offset: ["must be greater than or equal to 0"],
        order_by: ["order_by is required when limit or offset is present"],
        params: ["params must be valid JSON"],
        where: wrong
      }
    }
  ],
  [
    "offset=-1&table=items&subset__limit=x&subset__order_by[]=id",
    { subset: { limit: wrong, order_by: wrong } }
  ],
  ["offset=-1&table=items&subset__where[]=1", { subset: { where: wrong } }],
  ["offset=-1&table=items&subset__order_by[a]=1", { subset: { order_by: wrong } }],
  ["offset=-1&table=items&subset__where=bad", { subset: { where: ["refused subset"] } }]
]

/** Body of a POST, its query, and status and body of the answer. */
const bodies: ReadonlyArray<readonly [string, string, number, unknown]> = [
  ["{", "table=items&offset=-1", 400, "Invalid JSON in request body"],
  ["nonsense", "table=items&offset=-1", 400, "Invalid JSON in request body"],
  ["\u0000", "table=items&offset=-1", 400, "Invalid JSON in request body"],
  ["[]", "table=items&offset=-1", 400, { error: "Request body must be a JSON object" }],
  ["null", "table=items&offset=-1", 400, { error: "Request body must be a JSON object" }],
  ['"x"', "table=items&offset=-1", 400, { error: "Request body must be a JSON object" }],
  ["5", "table=items&offset=-1", 400, { error: "Request body must be a JSON object" }],
  [
    " ".repeat(8_000_001),
    "table=items&offset=-1",
    413,
    {
      error: "Request body too large",
      details: "The body of a request is above the limit of 3000000 bytes (BATON_MAX_BODY)"
    }
  ],
  ['{"table":"items","offset":"-1"}', "", 400, { message: "Invalid request", errors: { offset: blank } }],
  [
    '{"subset":{},"offset":-1}',
    "table=items",
    400,
    { message: "Invalid request", errors: { offset: wrong } }
  ],
  ['{"subset":{},"table":5}', "offset=-1", 400, { message: "Invalid request", errors: { table: wrong } }],
  [
    '{"subset":{},"live":true}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { live: ["can't be true when offset == -1"] } }
  ],
  ['{"subset":5}', "table=items&offset=-1", 400, { message: "Invalid request", errors: { subset: wrong } }],
  [
    '{"limit":0,"order_by":"id"}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { limit: ["must be greater than 0"] } } }
  ],
  [
    '{"limit":1.5,"order_by":"id"}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { limit: wrong } } }
  ],
  [
    '{"limit":true,"order_by":"id"}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { limit: wrong } } }
  ],
  [
    '{"where":5}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { where: wrong } } }
  ],
  [
    '{"where":{"a":1}}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { where: wrong } } }
  ],
  [
    '{"params":{"1":[1]}}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { params: wrong } } }
  ],
  [
    '{"params":[1]}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { subset: { params: wrong } } }
  ],
  [
    '{"where":"ok","params":{"1":1,"3":2}}',
    "table=items&offset=-1",
    400,
    {
      message: "Invalid request",
      errors: { subset: { params: ["Parameters must be numbered sequentially, starting from 1"] } }
    }
  ],
  [
    '{"table":"nope"}',
    "table=items&offset=-1",
    400,
    { message: "Invalid request", errors: { table: missingTable("public", "nope") } }
  ],
  [
    '{"__proto__":{"table":"nope"},"constructor":1}',
    "offset=-1",
    400,
    { message: "Invalid request", errors: { table: blank } }
  ]
]

const conditions = {
  where: (_table: unknown, sql: string, params: Readonly<Record<string, string>>) =>
    Effect.fail(
      params["2"] === undefined
        ? conditionRefused("where", `refused: ${sql}`)
        : conditionRefused("params", "refused params")
    ),
  subset: () => Effect.fail(conditionRefused("where", "refused subset"))
}

const check = (target: string, asked: Asked, verify: (store: FakeStore) => (r: Awaited) => void) => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    verify(store)(yield* ask(target, asked))
  }).pipe(Effect.provide(apiLayer(store, { conditions })))
}
type Awaited = Effect.Success<ReturnType<typeof ask>>

it.effect.each(queries.map(([query, errors]) => ({ query, errors })))(
  "400 for ?$query",
  ({ query, errors }) =>
    check(`/v1/shape?${query}`, {}, (store) => (received) => {
      assert.strictEqual(received.status, 400)
      assert.deepStrictEqual(received.json(), { message: "Invalid request", errors })
      assert.strictEqual(received.header("cache-control"), "no-store")
      assert.strictEqual(received.header("surrogate-control"), "no-store")
      assert.strictEqual(store.created, 0, "an invalid request must not create a shape")
    })
)

it.effect.each(
  bodies.map(([body, query, status, expected]) => ({
    body,
    query,
    status,
    expected,
    name: body.slice(0, 60)
  }))
)("$status for a POST of $name", ({ body, query, status, expected }) =>
  check(`/v1/shape?${query}`, { method: "POST", body }, (store) => (received) => {
    assert.strictEqual(received.status, status)
    if (typeof expected === "string") assert.include(received.json(), { error: expected })
    else assert.deepStrictEqual(received.json(), expected)
    const isEnvelope = received.text.includes('"Invalid request"')
    assert.strictEqual(
      received.header("cache-control"),
      isEnvelope ? "no-cache" : "max-age=0, private, must-revalidate"
    )
    assert.isUndefined(received.header("surrogate-control"))
    assert.strictEqual(store.created, 0)
  })
)

it.effect("a query that is not UTF-8 is refused without a word, and its connection closed", () =>
  check("/v1/shape?table=items&offset=-1&where=%FF", {}, () => (received) => {
    assert.strictEqual(received.status, 400)
    assert.strictEqual(received.text, "")
    assert.isTrue(received.reply.closeConnection)
  })
)

it("the table has at least a hundred rows", () => assert.isAtLeast(queries.length + bodies.length, 100))
