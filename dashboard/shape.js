import { ago, bytes, card, facts, h, lastRead, number, say, share, show, table } from "./dom.js"
import { api } from "./api.js"
import { badge } from "./overview.js"

/** For a shell: in single quotes, in which nothing else means anything. */
const shellQuoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`

const curlOf = (detail, status) => {
  const root =
    detail.way === "metrics"
      ? `${status?.apiScheme ?? "http"}://${location.hostname}:${status?.apiPort ?? 3000}`
      : location.origin + location.pathname.replace(/\/baton\/.*$/, "")
  return status?.needsSecret === false
    ? `curl ${shellQuoted(root + detail.request)}`
    : `curl -G ${shellQuoted(root + detail.request)} --data-urlencode "secret=$ELECTRIC_SECRET"`
}

const definitionCard = (detail, status) => {
  const curl = curlOf(detail, status)
  const copied = h("span", { role: "status", class: "quiet" })
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(curl)
      copied.textContent = "Copied."
    } catch {
      copied.textContent = "Select the text to copy it."
    }
  }
  return card(
    "What it is",
    facts([
      ["Handle", h("code", {}, detail.handle)],
      ["Table", detail.table],
      ["Condition", detail.where === null ? "none: all rows" : h("code", {}, detail.where)],
      ["Columns", detail.columns === null ? "all" : detail.columns.join(", ")],
      [
        "Key",
        `${detail.keyColumns.join(", ")}${detail.hasPrimaryKey ? "" : " (all columns: the table has no primary key)"}`
      ],
      detail.memberTables.length === 0 ? null : ["Reads as well", detail.memberTables.join(", ")],
      ["Replica, log", `${detail.replica}, ${detail.log}`]
    ]),
    h("p", {}, "Read it from the beginning:"),
    h("pre", { tabindex: "0" }, curl),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: copy }, "Copy"), copied)
  )
}

const evaluationCard = ({ evaluationDetail: { cost, faster, kind, reason } }) =>
  card(
    "How changes find it",
    h("p", {}, h("b", {}, kind), ". ", cost),
    reason === null ? null : h("p", {}, `Because: ${reason}`),
    faster === null
      ? h("p", { class: "quiet" }, "Nothing would make it faster.")
      : h("p", {}, h("b", {}, "Faster: "), faster)
  )

const sizeCard = (detail, counted) =>
  card(
    "How large it is",
    facts([
      ["State", badge(detail.state)],
      ["First rows", `${bytes(detail.snapshotBytes)} in ${number(detail.snapshot.chunks)} chunks`],
      [
        "Changes",
        `${number(detail.changes)}, of which ${number(detail.journal.changes)} (${bytes(detail.journal.bytes)}) stand in the journal`
      ],
      ["Changes in files", `${bytes(detail.logBytes)} in ${number(detail.logFiles)} files`],
      ["Dirty share", share(detail.dirtyShare)],
      ["End of its log", h("code", {}, detail.offset)],
      ["Requests that wait", number(detail.readers)],
      ["Last read", lastRead(detail)],
      ["Made", ago(detail.createdAt)],
      ["Rows", counted]
    ])
  )

const rowsCounter = (path) => {
  const place = h("span", {})
  const count = async () => {
    show(place, "Postgres counts …")
    try {
      show(place, number((await api(`${path}/rows`)).rows))
    } catch (error) {
      show(place, h("span", { class: "bad" }, error.message))
    }
  }
  return show(place, h("button", { type: "button", onclick: count }, "Have Postgres count them"))
}

const whyCard = (detail, path) => {
  const inputs = detail.keyColumns.map((name, i) => [
    h("label", { for: `key${i}` }, name),
    h("input", { id: `key${i}`, autocomplete: "off", required: true })
  ])
  const answer = h("div", { role: "status" })
  const ask = async (event) => {
    event.preventDefault()
    const key = new URLSearchParams(inputs.map(([, input]) => ["key", input.value]))
    show(answer, "Postgres is asked …")
    try {
      const { belongs, parts, text } = await api(`${path}/why?${key}`)
      show(
        answer,
        h("p", { class: belongs === true ? "good" : "warn" }, text),
        parts.length === 0
          ? null
          : table(
              "Parts of the condition",
              [["Part", "wide"], ["Says"]],
              parts.map((part) => [
                h("code", {}, part.sql),
                part.message === null ? part.value : `${part.value}: ${part.message}`
              ])
            )
      )
    } catch (error) {
      show(answer, h("p", { class: "bad" }, error.message))
    }
  }
  return card(
    "Why is a row in it, or not?",
    h(
      "form",
      { class: "filter", onsubmit: ask },
      inputs.map((pair) => h("div", {}, pair)),
      h("button", {}, "Ask")
    ),
    answer
  )
}

/** Its last changes, looked for again whenever its log has grown. */
const changesCard = (path, signal) => {
  const list = h("div", {})
  const shown = []
  let next
  let isBusy = false
  const look = async () => {
    if (isBusy) return
    isBusy = true
    try {
      const report = await api(`${path}/changes${next === undefined ? "" : `?after=${next}`}`, { signal })
      const isFirst = next === undefined
      next = report.next
      shown.unshift(...report.changes.toReversed())
      shown.length = Math.min(shown.length, 50)
      if (isFirst || report.changes.length > 0) draw()
    } catch (error) {
      if (!signal.aborted) show(list, h("p", { class: "bad" }, error.message))
    } finally {
      isBusy = false
    }
  }
  const draw = () =>
    show(
      list,
      shown.length === 0
        ? h("p", { class: "quiet" }, "It has had no change that still stands near the end of its log.")
        : table(
            "Last changes, the newest first",
            [["Operation"], ["Key", "wide"], ["Values", "wide"], ["Offset", "phone-hidden"]],
            shown.map((change) => [
              change.operation,
              h("code", {}, change.key),
              h(
                "code",
                {},
                Object.entries(change.value)
                  .map(([name, value]) => `${name}: ${value ?? "NULL"}`)
                  .join(", ")
              ),
              h("code", {}, change.offset)
            ])
          )
    )
  const begin = h("button", { type: "button", onclick: () => look() }, "Show rows")
  show(list, h("p", { class: "quiet" }, "What is shown here are values of rows."), begin)
  return { element: card("Last changes", list), update: () => (next === undefined ? undefined : look()) }
}

const deleteCard = (detail, path, pauseLooking) => {
  const answer = h("p", { role: "alert" })
  const remove = async () => {
    if (!confirm(`Delete the shape of ${detail.table}? Its clients fetch it again from the beginning.`))
      return
    pauseLooking(true)
    try {
      await api(path, { method: "DELETE" })
      say("The shape was deleted.")
      location.hash = "#/shapes"
    } catch (error) {
      pauseLooking(false)
      answer.textContent = error.message
    }
  }
  return card(
    "Delete it",
    h(
      "p",
      {},
      "The shape is dropped: its clients get a 409 once, and fetch it anew. Nothing in the database is changed."
    ),
    h("button", { type: "button", class: "danger", onclick: remove }, "Delete the shape"),
    answer
  )
}

/** One shape in depth. */
export const shape = (main, handle, status) => {
  const leaving = new AbortController()
  const path = `shapes/${encodeURIComponent(handle)}`
  const title = h("h1", { tabindex: "-1" }, "Shape")
  const body = h("div", {}, h("p", { class: "quiet" }, "Looking …"))
  show(main, h("p", {}, h("a", { href: "#/shapes" }, "All shapes")), title, body)
  let detail
  let paused = false
  const size = h("div", {})
  const counted = rowsCounter(path)
  const changes = changesCard(path, leaving.signal)
  const look = async () => {
    try {
      const found = await api(path, { signal: leaving.signal })
      const isFirst = detail === undefined
      detail = found
      show(size, sizeCard(found, counted))
      if (!isFirst) return
      title.textContent = `Shape of ${found.table}`
      show(
        body,
        h(
          "div",
          { class: "cards" },
          definitionCard(found, status()),
          h("div", {}, evaluationCard(found), size)
        ),
        whyCard(found, path),
        changes.element,
        deleteCard(found, path, (isPaused) => (paused = isPaused))
      )
    } catch (error) {
      if (!leaving.signal.aborted) show(body, h("p", { class: "bad", role: "alert" }, error.message))
    }
  }
  void look()
  return {
    title: "Shape",
    update: () => {
      if (
        detail === undefined ||
        paused ||
        size.contains(document.activeElement) ||
        !getSelection()?.isCollapsed
      )
        return
      void look()
      void changes.update()
    },
    leave: () => leaving.abort()
  }
}
