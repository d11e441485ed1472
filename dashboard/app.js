import { follow } from "./api.js"
import { config } from "./config.js"
import { setText, show } from "./dom.js"
import { faults } from "./faults.js"
import { badge, collect, overview } from "./overview.js"
import { shape } from "./shape.js"
import { shapes } from "./shapes.js"

const main = document.getElementById("main")
let status
let view
let page

/** What stands behind the `#`: the page, and what it is of. */
const routeOf = (hash) => {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?")
  const [name = "", rest] = path.split("/")
  return { name: name === "" ? "overview" : name, rest, params: new URLSearchParams(query) }
}

const open = (isFirst) => {
  const { name, params, rest } = routeOf(location.hash)
  const key = page === name ? document.activeElement?.dataset.key : undefined
  view?.leave()
  page = name
  if (name === "shapes" && rest) view = shape(main, decodeURIComponent(rest), () => status)
  else if (name === "shapes") view = shapes(main, params)
  else if (name === "faults") view = faults(main)
  else if (name === "config") view = config(main)
  else {
    page = "overview"
    view = overview(main)
  }
  document.title = `${view.title} · Baton`
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  if (status !== undefined) view.update(status)
  // Who goes to another page by keys, or hears it, goes on at its beginning.
  if (!isFirst && key === undefined) main.querySelector("h1")?.focus()
}

const links = { live: "live", lost: "no answer; trying again", paused: "paused" }
const state = document.getElementById("state")
const wrong = document.getElementById("faults")

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault()
  main.focus()
})
addEventListener("hashchange", () => open(false))
open(true)
void follow(
  (news) => {
    status = news
    const { className } = badge(news.state)
    state.className = className
    setText(state, news.state)
    setText(document.getElementById("who"), news.instanceId)
    wrong.hidden = news.faults.length === 0
    if (!wrong.hidden) show(wrong, String(news.faults.length), document.createTextNode(" now"))
    collect(news)
    view.update(news)
  },
  (link) => setText(document.getElementById("link"), links[link])
)
