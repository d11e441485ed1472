/** An Express application with sign-in by cookie, and synced tables for those who are signed in. */
import { randomUUID } from "node:crypto"
import express from "express"
import { embed, Refused } from "pgbaton"

interface Session {
  readonly user: string
  readonly project: number
}

const sessions = new Map<string, Session>()
const accounts = new Map([
  ["ada", 1],
  ["bob", 2]
])

const sessionOf = (cookies: string | undefined): Session | undefined =>
  sessions.get(/(?:^|;\s*)session=([\w-]+)/.exec(cookies ?? "")?.[1] ?? "")

const baton = await embed({
  authorize: ({ headers, shape }) => {
    const session = sessionOf(headers["cookie"])
    if (session === undefined) throw Refused.because(401, "Sign in first")
    if (shape.table !== "issues") throw Refused.because(403, "There is nothing for you in that table")
    return {
      ...shape,
      columns: ["id", "title", "status"],
      where: "project_id = $1",
      params: { "1": String(session.project) }
    }
  }
})

const app = express()

// Before body parsers: Baton reads the bodies of its requests itself. Express strips `/sync` from the URL.
app.use("/sync", baton.handler)

app.use(express.json())

app.post("/sign-in", (request, response) => {
  const { user } = request.body as { readonly user: string }
  const project = accounts.get(user)
  if (project === undefined) {
    response.status(403).json({ message: "Unknown user" })
    return
  }
  const id = randomUUID()
  sessions.set(id, { user, project })
  response.cookie("session", id, { httpOnly: true, sameSite: "strict" }).json({ user, project })
})

app.post("/sign-out", (request, response) => {
  const id = /session=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1]
  sessions.delete(id ?? "")
  response.clearCookie("session").json({})
})

const server = app.listen(Number(process.env["PORT"] ?? 3000))

process.once("SIGTERM", async () => {
  // Gives the lock back, and waits for the requests that are being answered: stop listening after that.
  await baton.close()
  server.close()
  server.closeAllConnections()
})
