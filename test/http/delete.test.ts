import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer } from "effect"
import { HttpRouter, HttpServer as EffectServer } from "effect/http"
import { type AuthorizeRequest, Refused } from "../../src/http/hook/Authorize.ts"
import { makeFetchHandler } from "../../src/http/mount/FetchHandler.ts"
import { makeNodeHandler } from "../../src/http/node/NodeHandler.ts"
import { mountShapeApi } from "../../src/http/mount/RouterMount.ts"
import type { ShapeSelection } from "../../src/http/request/ShapeParams.ts"
import { recordingLogger } from "../storage/support.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer } from "./support/harness.ts"
import { eventually } from "./support/rawHttp.ts"

type Send = (url: string, init?: RequestInit) => Promise<Response>

const as = (user: string, init: RequestInit = {}) => ({ ...init, headers: { authorization: user } })

const statusOf = (response: Promise<Response>) =>
  Effect.promise(async () => {
    const answer = await response
    await answer.text()
    return answer.status
  })

/** What a program with a hook has to do with a DELETE, however the API is mounted in it. */
const contract = Effect.fnUntraced(function* (
  store: FakeStore,
  send: Send,
  asked: ReadonlyArray<AuthorizeRequest>,
  slow: Deferred.Deferred<void>
) {
  const shape = "/v1/shape?table=items"
  const remove = (user: string, init: RequestInit = {}) =>
    send(shape, as(user, { ...init, method: "DELETE" }))

  assert.strictEqual(yield* statusOf(send(`${shape}&offset=-1`, as("ada"))), 200)
  assert.strictEqual(yield* statusOf(remove("guest")), 403)
  assert.strictEqual(yield* statusOf(remove("broken")), 500)
  assert.strictEqual(store.shapes.size, 1)

  const leaving = new AbortController()
  const left = remove("slow", { signal: leaving.signal }).catch(() => undefined)
  yield* eventually(() => asked.at(-1)?.headers["authorization"] === "slow", "the hook is asked")
  leaving.abort()
  yield* Effect.promise(() => left)
  assert.strictEqual(store.shapes.size, 1, "a client that has left deletes nothing")

  const both = yield* Effect.all([statusOf(remove("ada")), statusOf(remove("ada", { body: "{}" }))], {
    concurrency: "unbounded"
  })
  assert.deepStrictEqual(both.toSorted(), [202, 404])
  assert.strictEqual(yield* statusOf(remove("ada")), 404)
  assert.strictEqual(yield* statusOf(send(`${shape}&offset=-1`, as("ada"))), 200, "it can be made again")

  const patient = remove("slow")
  yield* eventually(() => asked.at(-1)?.headers["authorization"] === "slow", "the hook is asked")
  yield* Deferred.succeed(slow, undefined)
  assert.strictEqual(yield* statusOf(patient), 202)
})

const plain = Effect.gen(function* () {
  const server = createServer(yield* makeNodeHandler({ sendTimeoutMillis: 5000 }))
  yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  const { port } = server.address() as AddressInfo
  const send: Send = (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init)
  return send
})

const fetching = Effect.map(makeFetchHandler(), (handler): Send => {
  return (path, init) => handler(new Request(`http://app.example${path}`, init))
})

const routed = Effect.gen(function* () {
  const node = NodeHttpServer.layer(() => createServer(), { port: 0, gracefulShutdownTimeout: 100 })
  const served = HttpRouter.serve(mountShapeApi(), { disableLogger: true }).pipe(Layer.provideMerge(node))
  const { address } = Context.get(yield* Layer.build(served), EffectServer.HttpServer)
  const send: Send = (path, init) =>
    fetch(`http://127.0.0.1:${"port" in address ? address.port : 0}${path}`, init)
  return send
})

describe("a DELETE in a program with a hook", () => {
  const ways = [
    ["a plain handler", plain],
    ["a Fetch handler", fetching],
    ["an Effect router", routed]
  ] as const
  for (const [name, way] of ways)
    it.live(`is allowed, refused, failed or given up by it, and done once, in ${name}`, () => {
      const store = new FakeStore()
      const asked: Array<AuthorizeRequest> = []
      const said: Array<string> = []
      const slow = Deferred.makeUnsafe<void>()
      const authorize = (request: AuthorizeRequest): Effect.Effect<ShapeSelection, Refused> => {
        asked.push(request)
        const user = request.headers["authorization"]
        if (user === "guest") return Effect.fail(Refused.because(403, "not you"))
        if (user === "broken") return Effect.die(new Error("the host's database"))
        return Effect.as(user === "slow" ? Deferred.await(slow) : Effect.void, request.shape)
      }
      return Effect.gen(function* () {
        yield* activate
        const send: Send = yield* way
        yield* contract(store, send, asked, slow)
        const problems = said.filter((line) => !/^(Health:|Listening on )/.test(line))
        assert.strictEqual(problems.length, 1, problems.join("\n"))
        assert.match(problems[0] ?? "", /^The authorize hook of this program failed for a DELETE request/)
      }).pipe(
        Effect.provide(apiLayer(store, { authorize, config: { allowShapeDeletion: true } })),
        Effect.scoped,
        Effect.provide(recordingLogger(said))
      )
    })
})
