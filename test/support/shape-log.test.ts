import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { createServer } from "node:http"
import { differenceOfRows } from "../../testing/postgres/Rows.ts"
import { ShapeLogReader } from "../../testing/readers/ShapeLog.ts"

interface Answer {
  readonly offset: string
  readonly upToDate?: boolean
  readonly status?: number
  readonly handle?: string
  readonly messages: ReadonlyArray<object>
}

const upToDate = { headers: { control: "up-to-date", global_last_seen_lsn: "9" } }
const row = (operation: string, key: string) => ({ key, value: { id: key }, headers: { operation } })
const change = (operation: string, key: string, lsn: number, position: number, last?: boolean) => ({
  key,
  value: { id: key },
  headers: { operation, lsn: String(lsn), op_position: position, ...(last === true ? { last: true } : {}) }
})
const start: Answer = { offset: "0_0", messages: [row("insert", "a"), row("insert", "b")] }
const live = (offset: string, ...messages: ReadonlyArray<object>): Answer => ({
  offset,
  upToDate: true,
  messages: [...messages, upToDate]
})

/** Reads these answers, one per request, from a server that gives no others. */
const read = async (answers: ReadonlyArray<Answer>, options: { mayRefetch?: boolean } = {}) => {
  let next = 0
  const server = createServer((_, response) => {
    const answer = answers[next++]
    if (answer === undefined) return response.destroy()
    response.writeHead(answer.status ?? 200, {
      "electric-handle": answer.handle ?? "h",
      "electric-offset": answer.offset,
      ...(answer.upToDate === true ? { "electric-up-to-date": "" } : {})
    })
    return response.end(JSON.stringify(answer.messages))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const reader = new ShapeLogReader({ url: `http://127.0.0.1:${port}`, params: { table: "t" }, ...options })
  try {
    for (let i = 0; i < answers.length; i++) await reader.step()
    return reader
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

const broken = async (pattern: RegExp, answers: ReadonlyArray<Answer>) => {
  const error = await read(answers).then(
    () => "nothing was found",
    (found: unknown) => String(found)
  )
  assert.match(error, pattern)
}

describe("the reader of shape logs", () => {
  it("materialises a log and lists its operations", async () => {
    const reader = await read([
      start,
      live("7_2", change("update", "a", 7, 0), change("delete", "b", 7, 2, true)),
      live("9_0", change("insert", "b", 9, 0, true)),
      live("9_0")
    ])
    assert.deepStrictEqual([...reader.rows.keys()], ["a", "b"])
    assert.deepStrictEqual(
      reader.operations.map(({ key, lsn, operation }) => `${lsn} ${operation} ${key}`),
      ["7 update a", "7 delete b", "9 insert b"]
    )
    assert.strictEqual(reader.position.offset, "9_0")
    assert.isTrue(reader.isUpToDate)
  })

  it("starts over on 409 where it may", async () => {
    const gone: Answer = {
      offset: "-1",
      status: 409,
      handle: "h2",
      messages: [{ headers: { control: "must-refetch" } }]
    }
    const reader = await read([start, gone, { ...start, handle: "h2" }], { mayRefetch: true })
    assert.strictEqual(reader.refetches, 1)
    assert.strictEqual(reader.position.handle, "h2")
    await broken(/answered with 409/, [start, gone])
  })

  it("notices what must not happen", async () => {
    await broken(/inserted twice/, [start, live("7_0", change("insert", "a", 7, 0, true))])
    await broken(/is not there: update/, [start, live("7_0", change("update", "c", 7, 0, true))])
    await broken(/comes after 7_2/, [
      start,
      live("7_2", change("update", "a", 7, 2, true)),
      live("7_2", change("update", "a", 7, 2, true))
    ])
    await broken(/comes after 7_0/, [
      start,
      live("6_0", change("update", "a", 7, 0, true), change("update", "a", 6, 0, true))
    ])
    await broken(/goes on after its last/, [
      start,
      live("7_2", change("update", "a", 7, 0, true), change("update", "a", 7, 2, true))
    ])
    await broken(/has no last change/, [
      start,
      live("8_0", change("update", "a", 7, 0), change("update", "a", 8, 0, true))
    ])
    await broken(/in the middle of a transaction/, [start, live("7_0", change("update", "a", 7, 0))])
    await broken(/is not that of the last change/, [start, live("8_0", change("update", "a", 7, 0, true))])
    await broken(/handle changed/, [start, { ...live("7_0"), handle: "other" }])
    await broken(/do not agree/, [start, { ...live("7_0"), upToDate: false }])
  })
})

describe("the difference of rows", () => {
  it("is none for equal rows in any order, and readable otherwise", () => {
    const a = { id: "1", name: null }
    const b = { name: "x", id: "2" }
    assert.isUndefined(differenceOfRows([a, b], [{ id: "2", name: "x" }, a]))
    assert.isUndefined(differenceOfRows([a, a], [a], { collapse: true }))
    assert.strictEqual(
      differenceOfRows([a, a, b], [a, { id: "3", name: "" }]),
      [
        "3 rows expected, 2 found",
        "2 missing, for example:",
        '  [["id","1"],["name",null]]',
        '  [["id","2"],["name","x"]]',
        "1 not expected, for example:",
        '  [["id","3"],["name",""]]'
      ].join("\n")
    )
  })
})
