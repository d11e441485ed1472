import { h, show, table } from "./dom.js"
import { api } from "./api.js"

/** Every variable, and what it is set to; the service hides secrets. */
export const config = (main) => {
  const leaving = new AbortController()
  const filter = h("input", { id: "filter", type: "search" })
  const onlySet = h("input", { id: "only-set", type: "checkbox" })
  const body = h("div", { class: "card" }, h("p", { class: "quiet" }, "Looking …"))
  show(
    main,
    h("h1", { tabindex: "-1" }, "Configuration"),
    h(
      "form",
      { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", {}, h("label", { for: "filter" }, "Name or meaning"), filter),
      h("div", {}, h("label", { for: "only-set" }, "Only what is set"), onlySet)
    ),
    body
  )
  let variables = []
  const draw = () => {
    const word = filter.value.toLowerCase()
    const found = variables.filter(
      ({ about, name, value }) =>
        (!onlySet.checked || value !== null) && `${name} ${about}`.toLowerCase().includes(word)
    )
    show(
      body,
      table(
        "Variables",
        [["Variable"], ["Value", "wide"], ["Default", "phone-hidden"], ["Meaning", "wide phone-hidden"]],
        found.map(({ about, name, standard, value }) => [
          h("code", {}, name),
          value === null ? h("span", { class: "quiet" }, "not set") : h("code", {}, value),
          h("code", {}, standard),
          about.replaceAll("`", "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        ])
      )
    )
  }
  filter.addEventListener("input", draw)
  onlySet.addEventListener("change", draw)
  api("config", { signal: leaving.signal }).then(
    (found) => {
      variables = found.variables
      draw()
    },
    (error) => {
      if (!leaving.signal.aborted) show(body, h("p", { class: "bad", role: "alert" }, error.message))
    }
  )
  return { title: "Configuration", update: () => {}, leave: () => leaving.abort() }
}
