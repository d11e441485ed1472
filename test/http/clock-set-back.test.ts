import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer } from "effect"
import { HttpServer } from "../../src/http/node/HttpServer.ts"
import { nowMillis } from "../../src/shared/Timers.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"
import { eventually } from "./support/rawHttp.ts"
import { patient } from "../../testing/Load.ts"

const longPollTimeoutMillis = 500

it.live("a wall clock that is set back makes no long poll longer", () =>
  Effect.gen(function* () {
    const machine = yield* Clock.Clock
    let setBackMillis = 0
    const wallMillis = () => machine.currentTimeMillisUnsafe() - setBackMillis
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: wallMillis,
      currentTimeMillis: Effect.sync(wallMillis),
      currentTimeNanosUnsafe: () => BigInt(wallMillis()) * 1_000_000n,
      currentTimeNanos: Effect.sync(() => BigInt(wallMillis()) * 1_000_000n),
      monotonicTimeNanosUnsafe: () => machine.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: machine.monotonicTimeNanos,
      sleep: (duration) => machine.sleep(duration)
    }
    const store = new FakeStore()
    yield* Effect.gen(function* () {
      yield* activate
      const { url } = yield* HttpServer
      const first = yield* ask("/v1/shape?table=items&offset=-1")
      const live = `${url}/v1/shape?table=items&offset=0_inf&live=true&handle=${first.header("electric-handle")}`
      // At once, and the long way: a body is read before the request is held.
      for (const init of [{}, { method: "POST", body: "{}" }]) {
        const began = yield* nowMillis
        const held = yield* Effect.forkChild(Effect.promise(() => fetch(live, init)))
        yield* eventually(() => store.waiting === 1, "held")
        setBackMillis += 30_000
        assert.strictEqual((yield* Fiber.join(held)).status, 200)
        const tookMillis = (yield* nowMillis) - began
        assert.isAtLeast(tookMillis, longPollTimeoutMillis - 1)
        assert.isBelow(tookMillis, patient(20_000))
      }
    }).pipe(
      Effect.provide(
        HttpServer.layer.pipe(
          Layer.provideMerge(apiLayer(store, { config: { longPollTimeoutMillis } })),
          Layer.provideMerge(Layer.succeed(Clock.Clock, clock))
        )
      ),
      Effect.scoped
    )
  })
)
