import type { DistributionCounts } from "../telemetry/Distribution.ts"

type Labels = Readonly<Record<string, string>>

export type Sample =
  | { readonly labels?: Labels; readonly value: number }
  | { readonly labels?: Labels; readonly distribution: DistributionCounts }

/** One metric with its values at a moment. */
export interface MetricValues {
  readonly name: string
  readonly type: "gauge" | "counter" | "histogram"
  readonly help: string
  readonly samples: ReadonlyArray<Sample>
}

const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')

const labelText = (labels: Labels): string => {
  const entries = Object.entries(labels)
  return entries.length === 0
    ? ""
    : `{${entries.map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`
}

const histogramLines = (name: string, labels: Labels, { bounds, counts, sum }: DistributionCounts) => {
  const lines: Array<string> = []
  let total = 0
  for (const [i, count] of counts.entries()) {
    total += count
    const bound = bounds[i]
    lines.push(
      `${name}_bucket${labelText({ ...labels, le: bound === undefined ? "+Inf" : String(bound) })} ${total}`
    )
  }
  lines.push(`${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${total}`)
  return lines
}

/** The text format. Source: Prometheus docs, "Exposition formats". */
export const metricsText = (metrics: ReadonlyArray<MetricValues>): string => {
  const lines: Array<string> = []
  for (const { name, type, help, samples } of metrics) {
    lines.push(
      `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
      `# TYPE ${name} ${type}`
    )
    for (const sample of samples) {
      const labels = sample.labels ?? {}
      if ("distribution" in sample) lines.push(...histogramLines(name, labels, sample.distribution))
      else lines.push(`${name}${labelText(labels)} ${sample.value}`)
    }
  }
  return `${lines.join("\n")}\n`
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8"
