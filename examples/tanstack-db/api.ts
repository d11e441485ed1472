import type { IncomingMessage, ServerResponse } from "node:http"
import pg from "pg"

/** Of `npm start`, which prints it. */
const defaultDatabase = "postgresql://baton@127.0.0.1:54321/baton"

const statuses = ["backlog", "todo", "in_progress", "done"]

const answer = (response: ServerResponse, code: number, body: object) => {
  response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body))
}

/**
 * `POST /api/issues/<id>` with `{"status": …}` changes an issue and answers with the id of the transaction, by which the
 * page recognises its own change when it comes back through the shape.
 */
export const makeApi = () => {
  const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] ?? defaultDatabase })
  // Of a session that nobody uses: the database was restarted. The pool replaces it.
  pool.on("error", () => {})

  const changeStatus = async (id: number, status: string): Promise<number> => {
    const client = await pool.connect()
    try {
      await client.query("BEGIN")
      await client.query("UPDATE issues SET status = $2 WHERE id = $1", [id, status])
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

  return (request: IncomingMessage, response: ServerResponse): void => {
    void (async () => {
      const id = Number(/^\/issues\/(\d{1,9})$/.exec(request.url ?? "")?.[1])
      let text = ""
      for await (const piece of request) text += String(piece)
      const { status } = JSON.parse(text) as { readonly status?: string }
      if (request.method !== "POST" || Number.isNaN(id) || status === undefined || !statuses.includes(status))
        return answer(response, 400, { message: "No such change" })
      answer(response, 200, { txid: await changeStatus(id, status) })
    })().catch((error: unknown) => answer(response, 500, { message: String(error) }))
  }
}
