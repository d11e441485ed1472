import { useState } from "react"
import { createRoot } from "react-dom/client"
import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection, eq, useLiveQuery } from "@tanstack/react-db"

const url = `${import.meta.env["VITE_BATON_URL"] ?? "http://localhost:3000"}/v1/shape`

/** Who is signed in. A real page asks its server, which says so to Baton as well: see the `authorize` hook. */
const person = "ada"

type Project = { id: number; name: string }
type Member = { project_id: number; person: string }
type Issue = { id: number; project_id: number; title: string; status: string; priority: number }

/** Sends a change to the API; gives the id of the transaction that has made it. */
const post = async (path: string, change: object): Promise<number> => {
  const response = await fetch(`/api/${path}`, { method: "POST", body: JSON.stringify(change) })
  if (!response.ok) throw new Error(await response.text())
  const { txid } = (await response.json()) as { readonly txid: number }
  return txid
}

/** Small, so all of it is synced. */
const projects = createCollection(
  electricCollectionOptions<Project>({
    id: "projects",
    getKey: ({ id }) => id,
    shapeOptions: { url, params: { table: "projects", columns: ["id", "name"] } }
  })
)

/** The projects that the person is in. */
const memberships = createCollection(
  electricCollectionOptions<Member>({
    id: "memberships",
    getKey: ({ project_id }) => project_id,
    shapeOptions: { url, params: { table: "members", where: "person = $1", params: [person] } },
    // The change is on the screen already. It is confirmed when its transaction arrives, and undone if this fails.
    onInsert: async ({ transaction }) => ({
      txid: await Promise.all(
        transaction.mutations.map(({ modified }) =>
          post(`members/${modified.project_id}`, { person, member: true })
        )
      )
    }),
    onDelete: async ({ transaction }) => ({
      txid: await Promise.all(
        transaction.mutations.map(({ original }) =>
          post(`members/${original.project_id}`, { person, member: false })
        )
      )
    })
  })
)

/**
 * Large, so what queries ask for is loaded, and kept up to date from then on. The sub-select lets nobody see issues of other
 * projects than their own; when somebody joins one, or leaves it, its issues come and go.
 */
const issues = createCollection(
  electricCollectionOptions<Issue>({
    id: "issues",
    getKey: ({ id }) => id,
    syncMode: "on-demand",
    shapeOptions: {
      url,
      params: {
        table: "issues",
        columns: ["id", "project_id", "title", "status", "priority"],
        where: "project_id IN (SELECT project_id FROM members WHERE person = $1)",
        params: [person]
      }
    },
    onUpdate: async ({ transaction }) => ({
      txid: await Promise.all(
        transaction.mutations.map(({ changes, original }) =>
          post(`issues/${original.id}`, { status: changes.status })
        )
      )
    })
  })
)

const App = () => {
  const [selected, select] = useState(1)
  const all = useLiveQuery((q) => q.from({ project: projects }).orderBy(({ project }) => project.id))
  const mine = useLiveQuery((q) => q.from({ member: memberships }))
  const isMember = mine.data.some(({ project_id }) => project_id === selected)
  return (
    <>
      <h1>Issues</h1>
      <nav>
        {all.data.map(({ id, name }) => (
          <button key={id} aria-pressed={id === selected} onClick={() => select(id)}>
            {name}
          </button>
        ))}
      </nav>
      <p>
        {isMember ? "You are in this project. " : "Its issues are for members. "}
        <button
          onClick={() =>
            isMember ? memberships.delete(selected) : memberships.insert({ project_id: selected, person })
          }
        >
          {isMember ? "Leave" : "Join"}
        </button>
      </p>
      <Issues project={selected} />
    </>
  )
}

const next: Readonly<Record<string, string>> = {
  backlog: "todo",
  todo: "in_progress",
  in_progress: "done",
  done: "backlog"
}

const Issues = ({ project }: { readonly project: number }) => {
  const { data, isLoading } = useLiveQuery(
    (q) =>
      q
        .from({ issue: issues })
        .where(({ issue }) => eq(issue.project_id, project))
        .orderBy(({ issue }) => issue.priority, "desc")
        .orderBy(({ issue }) => issue.id)
        .limit(15),
    [project]
  )
  if (isLoading) return <p>Loading …</p>
  return (
    <table>
      <tbody>
        {data.map(({ id, title, status }) => (
          <tr key={id} data-id={id}>
            <td>{id}</td>
            <td>{title}</td>
            <td>
              <button
                onClick={() =>
                  issues.update(id, (draft) => {
                    draft.status = next[status] ?? "backlog"
                  })
                }
              >
                {status.replace("_", " ")}
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const root = document.getElementById("root")
if (root !== null) createRoot(root).render(<App />)
