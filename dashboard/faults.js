import { ago, card, h, show } from "./dom.js"
import { api } from "./api.js"

const classOf = { critical: "bad", warning: "warn", info: "" }

const entry = (one, at) =>
  h(
    "li",
    {},
    h(
      "div",
      {},
      h("span", { class: `badge ${classOf[one.severity] ?? ""}` }, one.severity),
      " ",
      h("b", {}, one.title),
      " ",
      h("code", {}, one.code),
      " ",
      h("span", { class: "quiet" }, at, one.worker === undefined ? "" : `, worker ${one.worker}`)
    ),
    h("p", { class: "message" }, one.message),
    h("p", { class: "message quiet" }, one.heals ?? "", " ", one.advice)
  )

/** What lasts, and what the log said last, with what to do. */
export const faults = (main) => {
  const leaving = new AbortController()
  const body = h("div", {})
  show(main, h("h1", { tabindex: "-1" }, "Faults"), body)
  let seen
  const look = () =>
    api("faults", { signal: leaving.signal }).then(
      ({ active, recent }) =>
        show(
          body,
          card(
            "Now",
            active.length === 0
              ? h("p", { class: "good" }, "Nothing is wrong that lasts.")
              : h(
                  "ul",
                  { class: "plain" },
                  active.map((one) => entry(one, ["since ", ago(one.since)]))
                )
          ),
          card(
            "Last in the log",
            recent.length === 0
              ? h("p", { class: "quiet" }, "Nothing was reported since this process has begun.")
              : h(
                  "ul",
                  { class: "plain" },
                  recent.map((one) => entry(one, ago(one.at)))
                )
          )
        ),
      (error) => {
        if (!leaving.signal.aborted) show(body, h("p", { class: "bad", role: "alert" }, error.message))
      }
    )
  return {
    title: "Faults",
    update: (status) => {
      const now = JSON.stringify([status.lastFaultAt, status.faults.length])
      if (now === seen) return
      seen = now
      void look()
    },
    leave: () => leaving.abort()
  }
}
