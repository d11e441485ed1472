/** Elements and words. Texts are only ever set as texts: names of tables and values of rows are anybody's. */

/** An element with attributes, listeners (`onclick` and the like, as functions) and children; what is null is left out. */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children)

const svgNamespace = "http://www.w3.org/2000/svg"
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(svgNamespace, tag), attributes, children)

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (typeof value === "function") element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? "" : String(value))
  }
  append(element, children)
  return element
}

const append = (element, children) => {
  for (const child of children.flat(4)) if (child !== null && child !== undefined) element.append(child)
}

/** Puts others in the place of an element's children. */
export const show = (element, ...children) => {
  element.replaceChildren()
  append(element, children)
  return element
}

/**
 * Makes an element's children what these are, and leaves alone what is the same: what somebody reads, selects or has gone to by keys
 * stays where it is. For what has no listeners.
 */
export const renew = (element, ...children) => {
  const next = h("div")
  append(next, children)
  renewChildren(element, next)
}

const renewChildren = (old, next) => {
  if (old.childNodes.length !== next.childNodes.length) return old.replaceChildren(...next.childNodes)
  for (const [i, child] of [...next.childNodes].entries()) renewNode(old.childNodes[i], child)
}

const renewNode = (old, next) => {
  if (old.isEqualNode(next)) return
  if (old.nodeName !== next.nodeName) old.replaceWith(next)
  else if (old.nodeType === Node.TEXT_NODE) old.data = next.data
  else {
    for (const name of old.getAttributeNames()) if (!next.hasAttribute(name)) old.removeAttribute(name)
    for (const { name, value } of next.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value)
    renewChildren(old, next)
  }
}

/** The same, only if it is another text: what has not changed is not read out, and keeps what is selected in it. */
export const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text
}

const units = ["B", "KB", "MB", "GB", "TB", "PB"]

export const bytes = (count) => {
  if (count === null || count === undefined) return "not known"
  let unit = 0
  let value = count
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export const number = (value) =>
  value === null || value === undefined ? "not known" : value.toLocaleString("en-US")

export const rate = (value) =>
  value === null ? "–" : value >= 100 ? number(Math.round(value)) : String(Math.round(value * 10) / 10)

export const millis = (value) => {
  if (value === null || value === undefined) return "none"
  if (value < 10) return `${value.toFixed(1)} ms`
  return value < 10_000 ? `${Math.round(value)} ms` : duration(value / 1000)
}

export const duration = (seconds) => {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

export const share = (value) => (value === null ? "–" : `${Math.round(value * 100)} %`)

/** How long ago, for people; the date itself stands beside it. */
export const ago = (iso) => {
  const seconds = (Date.now() - Date.parse(iso)) / 1000
  return h("time", { datetime: iso, title: iso }, seconds < 1 ? "now" : `${duration(seconds)} ago`)
}

/** When a shape was last read; one that is dormant costs next to nothing, and the next request wakes it. */
export const lastRead = ({ dormant, lastReadAt }) =>
  h("span", {}, ago(lastReadAt), dormant ? ", dormant" : null)

/** Names and values. */
export const facts = (pairs) =>
  h(
    "dl",
    {},
    pairs.filter((pair) => pair !== null).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])
  )

/** A table that can be scrolled with keys where it is wider than the window. Columns: `[title, class?]`. */
export const table = (label, columns, rows) =>
  h(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, label),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title))
        )
      ),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell, i) => h("td", { class: columns[i][1] }, cell))
          )
        )
      )
    )
  )

/** A part of a page, with a heading. */
export const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children)

/** Says something to who does not see the page, and nothing else does it. */
export const say = (text) => setText(document.getElementById("said"), text)
