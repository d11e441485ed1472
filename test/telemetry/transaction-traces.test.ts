import { type Exit, Option, Tracer } from "effect"
import { assert, describe, it } from "vitest"
import { RequestTraces } from "../../src/http/trace/RequestTraces.ts"
import { TransactionTraces } from "../../src/telemetry/otel/TransactionTraces.ts"
import { HandTimers } from "../../testing/HandTimers.ts"

/** Spans that have ended. */
const recorder = () => {
  const ended: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      return Object.assign(span, {
        end: (at: bigint, exit: Exit.Exit<unknown, unknown>) => {
          end(at, exit)
          ended.push(span)
        }
      })
    }
  })
  return { ended, tracer }
}

const millisOf = ({ status }: Tracer.Span) =>
  status._tag === "Ended"
    ? [Number(status.startTime / 1_000_000n) % 100_000, Number(status.endTime / 1_000_000n) % 100_000]
    : []

describe("the way of a transaction", () => {
  const about = { xid: 7, operations: 3, lagMillis: 2 }

  it("has a span for each step, below one root, once it is over", () => {
    const timers = new HandTimers()
    const { ended, tracer } = recorder()
    const traces = new TransactionTraces({ tracer, sampledShare: 1, dropsEmpty: false }, timers)
    traces.begin()
    assert.isTrue(traces.isWatching)
    timers.pass(5)
    traces.committed({ ...about, commitLsn: 16n, marker: 100 })
    assert.isFalse(traces.isWatching)
    timers.pass(1)
    traces.woken()
    timers.pass(1)
    traces.delivered(16n)
    traces.delivered(16n)
    traces.delivered(99n)
    traces.durable(99)
    timers.pass(3)
    traces.durable(100)
    timers.pass(10)
    assert.deepStrictEqual(ended, [], "others may be answered with it")
    timers.pass(1000)
    const began = millisOf(ended[0] ?? assert.fail("nothing ended"))[0] ?? 0
    const steps = ended.map((span) => [span.name, ...millisOf(span).map((at) => at - began)])
    assert.deepStrictEqual(steps, [
      ["pg_txn.receive", 0, 5],
      ["shape_write.journal", 5, 10],
      ["shape_read.wake_up", 5, 6],
      ["shape_read.answers", 6, 7],
      ["pg_txn.replication_client.transaction_received", 0, 10]
    ])
    const root = ended.at(-1)
    for (const span of ended.slice(0, -1))
      assert.strictEqual(Option.getOrUndefined(span.parent)?.spanId, root?.spanId)
    assert.deepStrictEqual(Object.fromEntries(root?.attributes ?? []), {
      xid: 7,
      lsn: "0/10",
      num_changes: 3,
      receive_lag_ms: 2,
      answers: 2
    })
  })

  it("is watched for a while only, and for some transactions only", () => {
    const timers = new HandTimers()
    const { ended, tracer } = recorder()
    const none = new TransactionTraces({ tracer, sampledShare: 0, dropsEmpty: false }, timers)
    none.begin()
    none.committed({ ...about, commitLsn: 1n, marker: 1 })
    const traces = new TransactionTraces({ tracer, sampledShare: 1, dropsEmpty: false }, timers)
    for (let i = 1; i <= 1000; i++) {
      traces.begin()
      traces.committed({ ...about, commitLsn: BigInt(i), marker: i })
    }
    timers.pass(20_000)
    const roots = ended.filter(({ parent }) => Option.isNone(parent))
    assert.lengthOf(roots, 50, "the disk has made nothing durable, and they are let go of")
    assert.isFalse(ended.some(({ name }) => name === "shape_write.journal"))
  })
})

describe("the trace of a caller", () => {
  it("is continued if it is one, and sampled as the caller says", () => {
    const { tracer } = recorder()
    const traces = new RequestTraces({ tracer, sampledShare: 0, dropsEmpty: false }, new HandTimers())
    const [trace, span] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
    const begun = (traceparent: string | undefined) =>
      traces.begin(
        {
          method: "GET",
          target: "/",
          header: (name) => (name === "traceparent" ? traceparent : undefined),
          headers: () => ({}),
          body: () => {
            throw new Error("nobody reads it")
          }
        },
        { name: "x", requestId: "r", path: "/", query: () => "", isLive: false }
      )?.traceId
    const cases: ReadonlyArray<readonly [string | undefined, string | undefined]> = [
      [`00-${trace}-${span}-01`, trace],
      [`00-${trace}-${span}-03`, trace],
      [`cc-${trace}-${span}-01-what-comes-later`, trace],
      [`00-${trace}-${span}-00`, undefined],
      [`ff-${trace}-${span}-01`, undefined],
      [`00-${"0".repeat(32)}-${span}-01`, undefined],
      [`00-${trace}-${"0".repeat(16)}-01`, undefined],
      [`00-${trace.toUpperCase()}-${span}-01`, undefined],
      [`00-${trace}-${span}`, undefined],
      ["", undefined],
      [undefined, undefined]
    ]
    for (const [given, expected] of cases) assert.strictEqual(begun(given), expected, given)
    assert.isFalse(traces.unsampled.sampled)
  })
})
