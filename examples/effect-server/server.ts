/** An issue tracker whose users see the issues of their own projects, whatever their browsers ask for. */
import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Baton, configFromEnvironment, instanceInBackground, mountShapeApi, Refused } from "pgbaton"

interface User {
  readonly name: string
  readonly projects: ReadonlyArray<number>
  readonly admin: boolean
}

/** Who is signed in. A real program looks into its database here. */
class Sessions extends Context.Service<
  Sessions,
  { readonly find: (headers: Readonly<Record<string, string>>) => Effect.Effect<User | undefined> }
>()("example/Sessions") {
  static readonly layer = Layer.sync(Sessions, () => {
    const users = new Map<string, User>([
      ["token-of-ada", { name: "Ada", projects: [1, 2], admin: false }],
      ["token-of-bob", { name: "Bob", projects: [3], admin: false }],
      ["token-of-eve", { name: "Eve", projects: [], admin: true }]
    ])
    return {
      find: (headers) => Effect.sync(() => users.get(headers["authorization"]?.replace("Bearer ", "") ?? ""))
    }
  })
}

/** Each table that clients may read, and the column that holds the project. */
const projectColumns = new Map([
  ["issues", "project_id"],
  ["projects", "id"]
])

const api = Baton.layer({
  authorize: Effect.fnUntraced(function* (request) {
    const sessions = yield* Sessions
    const user = yield* sessions.find(request.headers)
    if (user === undefined) return yield* Refused.because(401, "Sign in first")
    if (user.admin) return request.shape
    const projectColumn = projectColumns.get(request.shape.table ?? "")
    if (projectColumn === undefined || user.projects.length === 0)
      return yield* Refused.because(403, "There is nothing for you in that table")
    // The client chooses columns and the like; its own condition is replaced, so these rows are all that it can get.
    const placeholders = user.projects.map((_, index) => `$${index + 1}`)
    return {
      ...request.shape,
      where: `${projectColumn} IN (${placeholders.join(", ")})`,
      params: Object.fromEntries(user.projects.map((id, index) => [String(index + 1), String(id)]))
    }
  })
})

const me = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  const user = yield* (yield* Sessions).find(request.headers)
  return user === undefined
    ? HttpServerResponse.text("nobody", { status: 401 })
    : yield* HttpServerResponse.json({ name: user.name, projects: user.projects })
})

const routes = Layer.mergeAll(mountShapeApi({ prefix: "/sync" }), HttpRouter.add("GET", "/me", me))

const server = HttpRouter.serve(routes).pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port: Number(process.env["PORT"] ?? 3000) }))
)

// Released from the outside in: the lock is given back first, then open requests end, then the server closes.
const program = instanceInBackground.pipe(
  Layer.provide(server),
  Layer.provide(api),
  Layer.provide(Sessions.layer),
  Layer.provide(configFromEnvironment(process.env, { guarded: true }))
)

NodeRuntime.runMain(Layer.launch(program))
