/** A line chart as SVG, small and self-contained: one or several lines over a linear or logarithmic axis. */
export interface Plot {
  /** File name without extension. */
  readonly name: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: ReadonlyArray<Line>
}

export interface Axis {
  readonly label: string
  readonly scale?: "linear" | "log"
}

export interface Line {
  readonly name: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
  /** Drawn dashed: a floor or an aim. */
  readonly isReference?: boolean
}

const width = 720
const height = 400
const left = 84
const right = 190
const top = 44
const bottom = 56
const colours = ["#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#bf8700", "#57606a"]

interface Scale {
  readonly at: (value: number) => number
  readonly ticks: ReadonlyArray<number>
}

const niceStep = (span: number): number => {
  const rough = span / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough) ?? 10
  return factor * power
}

const linear = (values: ReadonlyArray<number>, from: number, to: number, fromZero: boolean): Scale => {
  const low = fromZero ? Math.min(0, ...values) : Math.min(...values)
  const step = niceStep(Math.max(...values) - low || 1)
  const start = Math.floor(low / step) * step
  const end = Math.ceil(Math.max(...values) / step) * step || step
  const ticks: Array<number> = []
  for (let i = 0; start + i * step <= end + step / 2; i++) ticks.push(start + i * step)
  return { at: (value) => from + ((value - start) / (end - start)) * (to - from), ticks }
}

const logarithmic = (values: ReadonlyArray<number>, from: number, to: number): Scale => {
  const positive = values.filter((value) => value > 0)
  const low = Math.floor(Math.log10(Math.min(...positive)))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive))))
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i))
  return {
    at: (value) => from + ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (to - from),
    ticks
  }
}

const scaleOf = (
  axis: Axis,
  values: ReadonlyArray<number>,
  from: number,
  to: number,
  fromZero: boolean
): Scale => (axis.scale === "log" ? logarithmic(values, from, to) : linear(values, from, to, fromZero))

const short = (value: number): string => {
  const rounded = Number(value.toPrecision(6))
  if (Math.abs(rounded) >= 1e6) return `${rounded / 1e6}M`
  if (Math.abs(rounded) >= 1e3) return `${rounded / 1e3}k`
  return String(rounded)
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const text = (x: number, y: number, content: string, attributes = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped(content)}</text>`

export const renderPlot = (plot: Plot): string => {
  const points = plot.lines.flatMap((line) => line.points)
  const x = scaleOf(
    plot.x,
    points.map(([value]) => value),
    left,
    width - right,
    false
  )
  const y = scaleOf(
    plot.y,
    points.map(([, value]) => value),
    height - bottom,
    top,
    true
  )
  const parts: Array<string> = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#24292f">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(left, 24, plot.title, 'font-size="15" font-weight="bold"')
  ]
  for (const tick of y.ticks) {
    const at = y.at(tick)
    parts.push(`<path d="M${left} ${at.toFixed(1)}H${width - right}" stroke="#d0d7de"/>`)
    parts.push(text(left - 8, at + 4, short(tick), 'text-anchor="end"'))
  }
  for (const tick of x.ticks) {
    const at = x.at(tick)
    parts.push(`<path d="M${at.toFixed(1)} ${height - bottom}v5" stroke="#57606a"/>`)
    parts.push(text(at, height - bottom + 20, short(tick), 'text-anchor="middle"'))
  }
  parts.push(`<path d="M${left} ${top}V${height - bottom}H${width - right}" fill="none" stroke="#57606a"/>`)
  parts.push(text((left + width - right) / 2, height - 12, plot.x.label, 'text-anchor="middle"'))
  parts.push(
    `<g transform="translate(18 ${(top + height - bottom) / 2}) rotate(-90)">${text(0, 0, plot.y.label, 'text-anchor="middle"')}</g>`
  )
  plot.lines.forEach((line, i) => {
    // A reference belongs to the line before it.
    const own = plot.lines.slice(0, i + 1).filter((other) => other.isReference !== true).length - 1
    const colour = colours[Math.max(0, own) % colours.length]
    const path = line.points.map(([px, py]) => `${x.at(px).toFixed(1)} ${y.at(py).toFixed(1)}`).join("L")
    const dash = line.isReference === true ? ' stroke-dasharray="6 4"' : ""
    parts.push(`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"${dash}/>`)
    if (line.isReference !== true && line.points.length <= 40) {
      for (const [px, py] of line.points) {
        parts.push(
          `<circle cx="${x.at(px).toFixed(1)}" cy="${y.at(py).toFixed(1)}" r="3.5" fill="${colour}"/>`
        )
      }
    }
    const legend = top + 6 + i * 20
    parts.push(`<path d="M${width - right + 16} ${legend}h22" stroke="${colour}" stroke-width="2"${dash}/>`)
    parts.push(text(width - right + 44, legend + 4, line.name))
  })
  return `${parts.join("\n")}\n</svg>\n`
}
