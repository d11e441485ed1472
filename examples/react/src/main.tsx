import { useState } from "react"
import { createRoot } from "react-dom/client"
import { useShape } from "@electric-sql/react"

const url = `${import.meta.env["VITE_BATON_URL"] ?? "http://localhost:3000"}/v1/shape`

type Project = { id: number; name: string }
type Issue = { id: number; title: string; status: string; priority: number; labels: Array<string> }

const App = () => {
  const [selected, select] = useState(1)
  const projects = useShape<Project>({ url, params: { table: "projects", columns: ["id", "name"] } })
  const byId = projects.data.toSorted((a, b) => a.id - b.id)
  return (
    <>
      <h1>Issues</h1>
      <nav>
        {byId.map(({ id, name }) => (
          <button key={id} aria-pressed={id === selected} onClick={() => select(id)}>
            {name}
          </button>
        ))}
      </nav>
      <Issues project={selected} />
    </>
  )
}

/** One shape for each project that has been looked at. They stay live, so going back to one shows it at once. */
const Issues = ({ project }: { readonly project: number }) => {
  const { data, isLoading, isError, error } = useShape<Issue>({
    url,
    params: {
      table: "issues",
      columns: ["id", "title", "status", "priority", "labels"],
      where: "project_id = $1",
      params: [String(project)]
    }
  })
  if (isError) return <p role="alert">{String(error)}</p>
  if (isLoading) return <p>Loading …</p>
  const open = data.filter(({ status }) => status !== "done")
  const shown = open.toSorted((a, b) => b.priority - a.priority || a.id - b.id).slice(0, 15)
  return (
    <>
      <p id="count">
        {open.length} open of {data.length}
        {shown.length < open.length && `, the ${shown.length} most urgent:`}
      </p>
      <table>
        <tbody>
          {shown.map(({ id, title, status, labels }) => (
            <tr key={id}>
              <td>{id}</td>
              <td>
                {title}{" "}
                {labels.map((label) => (
                  <span key={label} className="label">
                    {label}
                  </span>
                ))}
              </td>
              <td>{status.replace("_", " ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  )
}

const root = document.getElementById("root")
if (root !== null) createRoot(root).render(<App />)
