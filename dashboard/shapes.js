import { ago, bytes, h, lastRead, number, say, share, show } from "./dom.js"
import { api } from "./api.js"

const pageSize = 50

/** `[title, sort, class, cell]` */
const columns = [
  [
    "Table",
    "table",
    "wide",
    (row) => h("a", { href: `#/shapes/${encodeURIComponent(row.handle)}` }, row.table)
  ],
  [
    "Condition",
    undefined,
    "wide",
    (row) => (row.where === null ? h("span", { class: "quiet" }, "all rows") : h("code", {}, cut(row.where)))
  ],
  ["Found", undefined, "", (row) => row.evaluation],
  ["Stored", "bytes", "number", (row) => bytes(row.snapshotBytes + row.logBytes)],
  ["Changes", "changes", "number phone-hidden", (row) => number(row.changes)],
  ["Dirty", "dirty", "number phone-hidden", (row) => share(row.dirtyShare)],
  ["Waiting", "readers", "number", (row) => number(row.readers)],
  ["Last read", "lastRead", "number phone-hidden", lastRead],
  ["Made", "created", "number phone-hidden", (row) => ago(row.createdAt)]
]

const cut = (text) => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

const linkOf = (query) => {
  const params = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== "1")
  )
  return `#/shapes${params.size === 0 ? "" : `?${params}`}`
}

const queryOf = (params) => ({
  search: params.get("search") ?? "",
  evaluation: params.get("evaluation") ?? "",
  sort: params.get("sort") ?? "",
  page: params.get("page") ?? "1"
})

const header = (query, [title, sort, kind]) => {
  if (sort === undefined) return h("th", { scope: "col", class: kind }, title)
  const now = query.sort === sort ? "ascending" : query.sort === `-${sort}` ? "descending" : undefined
  // Who asks for most wants the most first; a second time turns it round.
  const next = now === "descending" || (sort === "table" && now === undefined) ? sort : `-${sort}`
  const go = () => (location.hash = linkOf({ ...query, sort: next, page: "1" }))
  const mark = now === undefined ? "" : now === "ascending" ? " ▲" : " ▼"
  return h(
    "th",
    { scope: "col", class: kind, "aria-sort": now },
    h(
      "button",
      { type: "button", "data-key": sort, onclick: go },
      title,
      h("span", { "aria-hidden": "true" }, mark)
    )
  )
}

const listTable = (query, found) =>
  h(
    "div",
    { class: "scroll", role: "region", "aria-label": "Shapes", tabindex: "0" },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, "Shapes; the buttons in the head of the table sort it"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => header(query, column))
        )
      ),
      h(
        "tbody",
        {},
        found.shapes.map((row) =>
          h(
            "tr",
            {},
            columns.map(([, , kind, cell]) => h("td", { class: kind }, cell(row)))
          )
        )
      )
    )
  )

const pager = (query, found) => {
  const pages = Math.max(1, Math.min(Math.ceil(found.matching / found.limit), 10_000 / found.limit))
  const to = (page, text) =>
    h(
      "button",
      {
        type: "button",
        "data-key": text,
        disabled: page < 1 || page > pages,
        onclick: () => (location.hash = linkOf({ ...query, page: String(page) }))
      },
      text
    )
  return h(
    "nav",
    { class: "actions", "aria-label": "Pages of the list" },
    to(found.page - 1, "Previous"),
    h("span", {}, `Page ${number(found.page)} of ${number(pages)}`),
    to(found.page + 1, "Next")
  )
}

const filterForm = (query) => {
  const search = h("input", { id: "search", type: "search", value: query.search, maxlength: 500 })
  const evaluation = h(
    "select",
    { id: "evaluation" },
    [
      ["", "any way"],
      ["all", "all rows, no condition"],
      ["indexed", "indexed"],
      ["evaluated", "evaluated"],
      ["postgres", "Postgres is asked"],
      ["unknown", "not known"]
    ].map(([value, text]) => h("option", { value, selected: value === query.evaluation }, text))
  )
  const go = (event) => {
    event.preventDefault()
    location.hash = linkOf({ ...query, search: search.value, evaluation: evaluation.value, page: "1" })
  }
  return h(
    "form",
    { class: "filter", role: "search", onsubmit: go },
    h("div", {}, h("label", { for: "search" }, "Handle, table or condition"), search),
    h("div", {}, h("label", { for: "evaluation" }, "How changes find it"), evaluation),
    h("button", { class: "primary" }, "Search")
  )
}

/** All shapes, page by page: the service searches and sorts. */
export const shapes = (main, params) => {
  const leaving = new AbortController()
  const query = queryOf(params)
  // Who sorts or turns a page by keys stays at the button.
  const key = document.activeElement?.dataset.key
  const result = h("div", { class: "card" }, h("p", { class: "quiet" }, "Looking …"))
  show(main, h("h1", { tabindex: "-1" }, "Shapes"), filterForm(query), result)
  const asked = new URLSearchParams({ ...query, limit: String(pageSize) })
  api(`shapes?${asked}`, { signal: leaving.signal }).then(
    (found) => {
      const text =
        found.matching === found.total
          ? `${number(found.total)} shapes`
          : `${number(found.matching)} of ${number(found.total)} shapes`
      say(text)
      show(
        result,
        h("p", {}, text),
        found.shapes.length === 0 ? null : listTable(query, found),
        found.matching <= found.limit && found.page === 1 ? null : pager(query, found)
      )
      if (key !== undefined) result.querySelector(`[data-key="${key}"]:not(:disabled)`)?.focus()
    },
    (error) => {
      if (!leaving.signal.aborted) show(result, h("p", { class: "bad", role: "alert" }, error.message))
    }
  )
  return { title: "Shapes", update: () => {}, leave: () => leaving.abort() }
}
