import { useState } from "react"
import { createRoot } from "react-dom/client"
import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection, eq, useLiveQuery } from "@tanstack/react-db"

const url = `${import.meta.env["VITE_BATON_URL"] ?? "http://localhost:3000"}/v1/shape`

type Project = { id: number; name: string }
type Issue = { id: number; project_id: number; title: string; status: string; priority: number }

const columns = ["id", "project_id", "title", "status", "priority"]

/** Small, so all of it is synced. */
const projects = createCollection(
  electricCollectionOptions<Project>({
    id: "projects",
    getKey: ({ id }) => id,
    shapeOptions: { url, params: { table: "projects", columns: ["id", "name"] } }
  })
)

/** Large, so what queries ask for is loaded, and kept up to date from then on. */
const issues = createCollection(
  electricCollectionOptions<Issue>({
    id: "issues",
    getKey: ({ id }) => id,
    syncMode: "on-demand",
    shapeOptions: { url, params: { table: "issues", columns } },
    // The change is on the screen already. It is confirmed when its transaction arrives, and undone if this fails.
    onUpdate: async ({ transaction }) => {
      const txids = await Promise.all(
        transaction.mutations.map(async ({ original, changes }) => {
          const response = await fetch(`/api/issues/${original.id}`, {
            method: "POST",
            body: JSON.stringify({ status: changes.status })
          })
          if (!response.ok) throw new Error(await response.text())
          const { txid } = (await response.json()) as { readonly txid: number }
          return txid
        })
      )
      return { txid: txids }
    }
  })
)

const App = () => {
  const [selected, select] = useState(1)
  const all = useLiveQuery((q) => q.from({ project: projects }).orderBy(({ project }) => project.id))
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
