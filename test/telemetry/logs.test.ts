import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Redacted } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { makeLineWriter } from "../../src/telemetry/LineWriter.ts"
import type { LogEvent } from "../../src/telemetry/LogEvent.ts"
import { formatLogJson } from "../../src/telemetry/LogJson.ts"
import { formatLogLine } from "../../src/telemetry/LogLine.ts"
import * as Logs from "../../src/telemetry/Logs.ts"
import { eventually } from "../../testing/Eventually.ts"

const date = new Date(2024, 0, 31, 7, 8, 9, 10)

const eventWith = (event: Partial<LogEvent>): LogEvent => ({
  date,
  level: "Info",
  message: "hello",
  cause: Cause.empty,
  annotations: {},
  spans: [],
  ...event
})

const format = (event: Partial<LogEvent>, colors = false) => formatLogLine(eventWith(event), colors)

/** A line as it is expected, behind its local time. */
const at = (rest: string) => `2024-01-31T07:08:09.010${zone} ${rest}`

const zone = ((minutes) => {
  const clock = new Date(Date.UTC(2000, 0, 1, 0, Math.abs(minutes))).toISOString().slice(11, 16)
  return `${minutes < 0 ? "-" : "+"}${clock}`
})(-date.getTimezoneOffset())

class SlotInUse extends Data.TaggedError("SlotInUse")<{ readonly message: string }> {}

const inTemporaryDirectory = async (work: (directory: string) => Promise<void>) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "baton-test-"))
  try {
    await work(directory)
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
}

describe("a log line", () => {
  it("is time, level, message and what belongs to it", () => {
    assert.strictEqual(format({}), at("info hello"))
    assert.strictEqual(
      format({
        level: "Warn",
        message: ["slow", 5n, { rows: 2n }],
        annotations: { handle: "123-456", table: 'public."my table"', empty: "", lsn: 7n },
        spans: [["takeover", new Date(2024, 0, 31, 7, 8, 9, 0).getTime()]]
      }),
      at(
        'warning slow 5 {"rows":"2"} handle=123-456 table="public.\\"my table\\"" empty="" lsn=7 takeover=10ms'
      )
    )
  })

  it("says what failed, and where when that was not foreseen", () => {
    assert.strictEqual(
      format({ level: "Error", cause: Cause.fail(new SlotInUse({ message: "held by 7" })) }),
      at('error hello error="SlotInUse: held by 7"')
    )
    const defect = format({ level: "Error", cause: Cause.die(new TypeError("oops")) }).split("\n")
    assert.strictEqual(defect[0], at("error hello"))
    assert.strictEqual(defect[1], "    TypeError: oops")
    assert.match(defect[2] ?? "", /^ {4}.* at .*logs\.test/)
    assert.strictEqual(format({ cause: Cause.interrupt(1) }), at("info hello error=interrupted"))
  })

  it("holds no secret, wherever it stood", () => {
    const line = format({
      message: [
        "GET /v1/shape?secret=hunter2&table=a",
        new Error("at postgres://u:hunter2@h/d"),
        { api_key: "hunter2" }
      ],
      annotations: {
        url: "/?table=x&token=hunter2 ",
        password: "hunter2",
        opened: Redacted.make("hunter2"),
        nested: { a: [{ secret: "hunter2" }] }
      },
      cause: Cause.combine(
        Cause.fail(new Error("?api_secret=hunter2")),
        Cause.die(new Error("postgresql://u:hunter2@h/d"))
      )
    })
    assert.notInclude(line, "hunter2")
    assert.include(line, "table=a")
    assert.include(line, "password=[REDACTED]")
  })

  it("cannot be imitated or coloured by what a client sends", () => {
    const line = format({
      message: "where\n07:08:09.010 error fake \u001b[31m\r\u0000",
      annotations: { a: "x\ny" }
    })
    assert.strictEqual(
      line,
      at('info where\n    07:08:09.010 error fake \\u001b[31m\\u000d\\u0000 a="x\\ny"')
    )
  })

  it("has a bounded length", () => {
    assert.isBelow(
      format({ message: "x".repeat(100_000), annotations: { a: "y".repeat(100_000) } }).length,
      17_000
    )
    assert.include(format({ annotations: { a: "y".repeat(3000) } }), "… (1000 more characters)")
  })

  it("has colours only when asked for", () => {
    const escape = "\u001b["
    assert.include(format({ level: "Error" }, true), escape)
    assert.notInclude(format({ level: "Error" }), escape)
  })
})

describe("a log line in JSON", () => {
  it("has time, level and message, and what belongs to it as fields", () => {
    assert.deepStrictEqual(
      JSON.parse(
        formatLogJson(
          eventWith({
            level: "Warn",
            message: ["slow", { rows: 2n }],
            annotations: { handle: "123-456", password: "hunter2", url: "postgres://u:hunter2@h/d" },
            spans: [["takeover", date.getTime() - 10]]
          })
        )
      ),
      {
        time: date.toISOString(),
        level: "warning",
        message: 'slow {"rows":"2"}',
        fields: {
          handle: "123-456",
          password: "[REDACTED]",
          url: "postgres://u:[REDACTED]@h/d",
          takeoverMillis: "10"
        }
      }
    )
  })

  it("is one line whatever is said, with the error or the stack", () => {
    const expected = formatLogJson(
      eventWith({ message: "two\nlines", cause: Cause.fail(new SlotInUse({ message: "held by 7" })) })
    )
    assert.notInclude(expected, "\n")
    assert.include(JSON.parse(expected), { message: "two\nlines", error: "SlotInUse: held by 7" })
    const defect: unknown = JSON.parse(formatLogJson(eventWith({ cause: Cause.die(new TypeError("oops")) })))
    assert.match((defect as { readonly stack: string }).stack, /^TypeError: oops\n.* at /)
  })
})

describe("the logger", () => {
  it.live(
    "writes what the level lets through, without colours to a file, and everything before it closes",
    () =>
      Effect.promise(() =>
        inTemporaryDirectory(async (directory) => {
          const file = path.join(directory, "log")
          const fd = fs.openSync(file, "a")
          const program = Effect.gen(function* () {
            yield* Effect.logDebug("not this")
            yield* Effect.logInfo("first").pipe(Effect.annotateLogs({ shape: "a b" }))
            yield* Effect.logError("second", Cause.fail("bad"))
          })
          await Effect.runPromise(Effect.provide(program, Logs.layer({ level: "info", colors: true, fd })))
          fs.closeSync(fd)
          assert.match(
            fs.readFileSync(file, "utf8"),
            /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d info first shape="a b"\n\S+ error second error=bad\n$/
          )
        })
      )
  )

  it("neither waits for a reader that does not read nor remembers everything, and says what is missing", () =>
    inTemporaryDirectory(async (directory) => {
      const pipe = path.join(directory, "pipe")
      assert.strictEqual(spawnSync("mkfifo", [pipe]).status, 0)
      const fd = fs.openSync(pipe, "r+") // opened for both, so that opening does not wait for the reader either
      const writer = makeLineWriter(fd, { maxLines: 100 })
      const count = 20_000
      for (let i = 0; i < count; i++) {
        writer.offer(`line ${i} ${"x".repeat(100)}`)
        if (i % 500 === 0) await new Promise(setImmediate)
      }
      await writer.flush(50) // gives up on the stuck reader
      const reader = spawn("cat", [pipe], { stdio: ["ignore", "pipe", "inherit"] })
      let text = ""
      reader.stdout.setEncoding("utf8").on("data", (data: string) => (text += data))
      await writer.flush(10_000)
      writer.offer("the end")
      await eventually("the last line", () => text.endsWith("the end\n"))
      reader.kill()

      const lines = text.trimEnd().split("\n").slice(0, -1)
      const numbers = lines
        .filter((line) => line.startsWith("line "))
        .map((line) => Number(line.split(" ")[1]))
      const dropped = lines.map((line) => Number(/^\((\d+) log lines were dropped/.exec(line)?.[1] ?? 0))
      assert.deepStrictEqual(
        numbers,
        numbers.toSorted((a, b) => a - b)
      )
      assert.strictEqual(numbers.length + dropped.reduce((a, b) => a + b, 0), count)
      assert.isBelow(numbers.length, count)
    }))

  it("lets a process end whose standard output nobody reads", async () => {
    const logs = path.resolve("src/telemetry/Logs.ts")
    const child = spawn(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `const { Effect } = await import("effect")
         const Logs = await import(${JSON.stringify(logs)})
         const many = Effect.forEach(Array.from({ length: 5000 }), (_, i) => Effect.logInfo("x".repeat(100) + i))
         await Effect.runPromise(Effect.provide(many, Logs.layer({ level: "info" })))
         process.exit(7)`
      ],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const [code]: Array<unknown> = await once(child, "exit")
    assert.strictEqual(code, 7)
    child.stdout.destroy()
  })

  it("survives that its reader goes away", () =>
    inTemporaryDirectory(async (directory) => {
      const file = path.join(directory, "closed")
      const fd = fs.openSync(file, "w")
      fs.closeSync(fd)
      const writer = makeLineWriter(fs.openSync(file, "r")) // writing fails
      writer.offer("lost")
      await writer.flush(5_000)
      writer.offer("lost too")
      await writer.flush(5_000)
      assert.strictEqual(fs.readFileSync(file, "utf8"), "")
    }))
})
