import type { IncomingMessage, ServerResponse } from "node:http"
import pg from "pg"

/** Of `npm start`, which prints it. */
const defaultDatabase = "postgresql://baton@127.0.0.1:54321/baton"

const statuses = ["backlog", "todo", "in_progress", "done"]

const answer = (response: ServerResponse, code: number, body: object) => {
  response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body))
}

/**
 * `POST /api/issues/<id>` with `{"status": …}` changes an issue, and `POST /api/members/<project>` with
 * `{"person": …, "member": true}` lets somebody into a project, or out of it. The answer is the id of the transaction, by which
 * the page recognises its own change when it comes back through the shape.
 */
export const makeApi = () => {
  const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] ?? defaultDatabase })
  // Of a session that nobody uses: the database was restarted. The pool replaces it.
  pool.on("error", () => {})

  const write = async (sql: string, values: ReadonlyArray<unknown>): Promise<number> => {
    const client = await pool.connect()
    try {
      await client.query("BEGIN")
      await client.query(sql, [...values])
      // The stream has 32-bit transaction ids, hence `xid`.
      const { rows } = await client.query<{ txid: string }>("SELECT pg_current_xact_id()::xid::text AS txid")
      await client.query("COMMIT")
      return Number(rows[0]?.txid)
    } catch (error) {
      await client.query("ROLLBACK").catch(() => {})
      throw error
    } finally {
      client.release()
    }
  }

  const change = (what: string | undefined, id: number, body: Body): Promise<number> | undefined => {
    const { member, person, status } = body
    if (what === "issues" && status !== undefined && statuses.includes(status))
      return write("UPDATE issues SET status = $2 WHERE id = $1", [id, status])
    if (what === "members" && person !== undefined && member !== undefined)
      return member
        ? write("INSERT INTO members (project_id, person) VALUES ($1, $2) ON CONFLICT DO NOTHING", [
            id,
            person
          ])
        : write("DELETE FROM members WHERE project_id = $1 AND person = $2", [id, person])
    return undefined
  }

  return (request: IncomingMessage, response: ServerResponse): void => {
    void (async () => {
      const [, what, id] = /^\/(issues|members)\/(\d{1,9})$/.exec(request.url ?? "") ?? []
      let text = ""
      for await (const piece of request) text += String(piece)
      const changed =
        request.method === "POST" ? change(what, Number(id), JSON.parse(text) as Body) : undefined
      if (changed === undefined) return answer(response, 400, { message: "No such change" })
      answer(response, 200, { txid: await changed })
    })().catch((error: unknown) => answer(response, 500, { message: String(error) }))
  }
}

interface Body {
  readonly status?: string
  readonly person?: string
  readonly member?: boolean
}
