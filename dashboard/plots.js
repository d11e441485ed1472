import { h, setText, svg } from "./dom.js"

const width = 240
const height = 60
/** Two minutes. */
const kept = 120

/** Values of the last two minutes, one a second. */
export class Series {
  values = []

  push(value) {
    this.values.push(value ?? null)
    if (this.values.length > kept) this.values.shift()
  }

  get last() {
    return this.values.at(-1) ?? null
  }

  get most() {
    return Math.max(0, ...this.values.filter((value) => value !== null))
  }
}

/** A small plot of a series, with its last value in words. */
export class Plot {
  constructor(title, series, format) {
    this.title = title
    this.series = series
    this.format = format
    this.now = h("b", {}, "–")
    this.line = svg("path", { class: "line" })
    this.area = svg("path", { class: "area" })
    this.drawing = svg(
      "svg",
      { class: "plot", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" },
      this.area,
      this.line
    )
    this.element = h(
      "figure",
      { class: "card" },
      h("figcaption", {}, h("span", {}, title), this.now),
      this.drawing
    )
    this.draw()
  }

  draw() {
    const { format, series, title } = this
    const top = series.most || 1
    const from = kept - series.values.length
    const points = series.values.map(
      (value, i) =>
        `${(((from + i) / (kept - 1)) * width).toFixed(1)},${(height - 2 - ((value ?? 0) / top) * (height - 6)).toFixed(1)}`
    )
    setText(this.now, format(series.last))
    this.drawing.setAttribute(
      "aria-label",
      `${title} in the last two minutes: now ${format(series.last)}, at most ${format(series.most)}`
    )
    const line = points.length === 0 ? "" : `M${points.join("L")}`
    this.line.setAttribute("d", line)
    const [first] = points
    this.area.setAttribute(
      "d",
      first === undefined ? "" : `${line}L${width},${height}L${first.split(",")[0]},${height}Z`
    )
  }
}

/** Steps one after the other, as long as they took. */
export const stepsBar = (steps) => {
  const total = steps.reduce((sum, step) => sum + step.millis, 0) || 1
  let at = 0
  const bars = steps.map((step) => {
    const bar = svg("rect", { x: at, y: 0, width: (step.millis / total) * 100, height: 10 })
    at += (step.millis / total) * 100
    return bar
  })
  return svg(
    "svg",
    { class: "steps", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    bars
  )
}
