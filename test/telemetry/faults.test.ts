import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { Cause, Effect, Fiber, Logger, Metric, References } from "effect"
import { TestClock } from "effect/testing"
import { errorsDocument, errorsPath } from "../../scripts/errors-table.ts"
import { Faults } from "../../src/shared/FaultRecord.ts"
import { faultCodes, faultTable } from "../../src/telemetry/faults/FaultTable.ts"
import { activeFaults, recentFaults } from "../../src/telemetry/faults/RecentFaults.ts"
import { faultEnded, reportFault } from "../../src/telemetry/faults/ReportFault.ts"
import { formatLogJson } from "../../src/telemetry/LogJson.ts"
import { formatLogLine } from "../../src/telemetry/LogLine.ts"
import { eventOf } from "../../src/telemetry/Logs.ts"
import { Progress, progressLine, withProgress } from "../../src/telemetry/Progress.ts"

/** The lines that `work` says, without their time. */
const saying = <E>(work: Effect.Effect<unknown, E>, format = (line: string) => line) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>((options) => {
    const event = eventOf(options)
    lines.push(format(formatLogLine(event, false).slice(30)))
  })
  return Effect.as(
    work.pipe(
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, "Debug"),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ),
    lines
  )
}

const notYours = (about: string) =>
  reportFault("BATON-TABLE-OWNER", { message: `Not yours: ${about}.`, about, everyMillis: 60_000 })

describe("what an operator is told of", () => {
  it("stands in docs/errors.md", () => {
    assert.strictEqual(readFileSync(errorsPath, "utf8"), errorsDocument(), "npx node scripts/errors-table.ts")
  })

  it("has codes of one form, and whole sentences about each", () => {
    for (const code of faultCodes) {
      assert.match(code, /^BATON-[A-Z]+-[A-Z]+$/)
      const { advice, happened, heals, title } = faultTable[code]
      for (const sentence of [happened, heals, advice]) assert.match(sentence, /^[A-Z].*[.)]$/, code)
      assert.match(title, /[^.]$/, code)
    }
  })

  it("is all there is: each warning and error of the service has a code", () => {
    const src = path.resolve(import.meta.dirname, "../../src")
    const bare = readdirSync(src, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith("dev/"))
      .filter((file) => /\blog(?:Warning|Error|Fatal)\b/.test(readFileSync(path.join(src, file), "utf8")))
    assert.deepStrictEqual(bare, [], "use reportFault")
  })

  it.effect("is one line with its code, a count, and among the recent ones, without secrets", () =>
    Effect.gen(function* () {
      const lines = yield* saying(
        Effect.gen(function* () {
          yield* reportFault("BATON-TABLE-OWNER", "Not yours: postgres://me:hidden@host/db.")
          yield* reportFault("BATON-SLOT-LOST", {
            message: "The slot is lost.",
            cause: Cause.die("why")
          })
          const faults = yield* Faults
          assert.strictEqual(faults.total("BATON-TABLE-OWNER"), 1)
          const recent = yield* recentFaults
          assert.deepStrictEqual(
            recent.map(({ code, severity }) => [code, severity]),
            [
              ["BATON-SLOT-LOST", "critical"],
              ["BATON-TABLE-OWNER", "warning"]
            ]
          )
          assert.notInclude(JSON.stringify(recent), "hidden")
          assert.strictEqual(recent[0]?.advice, faultTable["BATON-SLOT-LOST"].advice)
        })
      )
      assert.strictEqual(lines[0]?.startsWith("warning [BATON-TABLE-OWNER] Not yours: "), true, lines[0])
      assert.match(lines[1] ?? "", /^error \[BATON-SLOT-LOST\] The slot is lost\.\n {4}why/)
    })
  )

  it.effect("is said once a minute for the same thing, and counted each time", () =>
    Effect.gen(function* () {
      const lines = yield* saying(
        Effect.gen(function* () {
          for (let n = 0; n < 5; n++) yield* notYours("a")
          yield* notYours("b")
          yield* TestClock.adjust("60 seconds")
          yield* notYours("a")
          assert.strictEqual((yield* Faults).total("BATON-TABLE-OWNER"), 7)
          assert.strictEqual((yield* recentFaults).length, 3)
        })
      )
      assert.deepStrictEqual(lines, [
        "warning [BATON-TABLE-OWNER] Not yours: a.",
        "warning [BATON-TABLE-OWNER] Not yours: b.",
        "warning [BATON-TABLE-OWNER] Not yours: a. (and 4 times more since this was last said)"
      ])
    })
  )

  it.effect("lasts until it is said to be over, where it can last", () =>
    Effect.gen(function* () {
      const lines = yield* saying(
        Effect.gen(function* () {
          const faults = yield* Faults
          yield* faultEnded("BATON-BUCKET-READ")
          yield* reportFault("BATON-BUCKET-READ", "Cannot be read.")
          yield* TestClock.adjust("12 seconds")
          yield* reportFault("BATON-BUCKET-READ", "Still not.")
          assert.isTrue(faults.isActive("BATON-BUCKET-READ"))
          assert.deepStrictEqual(
            (yield* activeFaults).map(({ message, sinceMillis }) => [message, sinceMillis]),
            [["Still not.", 0]]
          )
          yield* faultEnded("BATON-BUCKET-READ")
          assert.isFalse(faults.isActive("BATON-BUCKET-READ"))
          yield* reportFault("BATON-SHAPE-PURGED", "All gone.")
          assert.deepStrictEqual(yield* activeFaults, [])
        })
      )
      assert.strictEqual(lines[2], "info [BATON-BUCKET-READ] This is over, after 12 s.")
    })
  )

  it.effect("has its code beside the message in JSON", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const logger = Logger.make<unknown, void>((options) => {
        seen.push(JSON.parse(formatLogJson(eventOf(options))))
      })
      yield* reportFault("BATON-SLOT-LOST", "Lost.").pipe(
        Effect.annotateLogs({ worker: 2 }),
        Effect.provide(Logger.layer([logger]))
      )
      assert.deepStrictEqual(seen, [
        {
          time: "1970-01-01T00:00:00.000Z",
          level: "error",
          code: "BATON-SLOT-LOST",
          message: "Lost.",
          fields: { worker: "2" }
        }
      ])
    })
  )
})

describe("long work", () => {
  it.effect("says every five seconds how far it is, and is in the list until it ends", () =>
    Effect.gen(function* () {
      const lines = yield* saying(
        Effect.gen(function* () {
          const about = { kind: "firstRows", name: "Reading t", unit: "rows", total: 4000 } as const
          const work = yield* Effect.forkChild(
            withProgress(about, (task) =>
              Effect.forEach([1, 2, 3], (n) =>
                Effect.andThen(
                  Effect.sleep("4 seconds"),
                  Effect.sync(() => void (task.done = n * 1000))
                )
              )
            ),
            { startImmediately: true }
          )
          const list = yield* Progress
          yield* TestClock.adjust("11 seconds")
          assert.deepStrictEqual(
            list.reports().map(({ done, total }) => [done, total]),
            [[2000, 4000]]
          )
          yield* TestClock.adjust("1 seconds")
          yield* Fiber.join(work)
          assert.deepStrictEqual(list.reports(), [])
        })
      )
      assert.deepStrictEqual(lines, [
        "info Reading t: 1,000 of 4,000 rows (25 %), 5 s",
        "info Reading t: 2,000 of 4,000 rows (50 %), 10 s"
      ])
    })
  )

  it("says bytes in megabytes, and no share of what nobody knows", () => {
    const about = { kind: "takeover", name: "Reading the journal", startedAtMillis: 0 } as const
    assert.strictEqual(
      progressLine({ ...about, unit: "bytes", done: 2_500_000, total: 10_000_000 }, 3000),
      "Reading the journal: 2.5 of 10.0 MB (25 %), 3 s"
    )
    assert.strictEqual(
      progressLine({ ...about, unit: "rows", done: 12_000, total: undefined }, 3000),
      "Reading the journal: 12,000 rows, 3 s"
    )
  })
})
