/** Writes `docs/metrics.md` from the metrics that the service has: `npx node scripts/metrics-table.ts`. */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { counted } from "../src/telemetry/Metrics.ts"
import type { MetricFamily } from "../src/metrics/MetricFamily.ts"
import { metricFamilies } from "../src/metrics/MetricsFamilies.ts"

export const documentPath = path.join(import.meta.dirname, "..", "docs", "metrics.md")

const isKept = new Set(
  Object.values(counted).map((metric) => (typeof metric === "function" ? metric({}) : metric).id)
)
const isOnPageAlone = ({ live, name }: MetricFamily): boolean => live === undefined && !isKept.has(name)

const row = (family: MetricFamily): string => {
  const { help, labels, name, type } = family
  const cells = [
    `\`${name}\``,
    isOnPageAlone(family) ? `${type}, page only` : type,
    labels.map((label) => `\`${label}\``).join(", ") || "-",
    help.replaceAll("|", "\\|")
  ]
  return `| ${cells.join(" | ")} |`
}

const table = (families: ReadonlyArray<MetricFamily>): string =>
  ["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |", ...families.map(row)].join("\n")

const having = (prefix: string) => metricFamilies.filter(({ name }) => name.startsWith(prefix))

/** The whole document, as it should be in the file. */
export const metricsDocument = (): string => `# Metrics

<!-- Made by scripts/metrics-table.ts from src/metrics/MetricsFamilies.ts: change it there. -->

With \`ELECTRIC_PROMETHEUS_PORT=9090\` the service answers \`GET /metrics\` on that port, in the text format of Prometheus.
There is no secret on it: keep the port inside. Nothing is counted per row.

A program that embeds Baton has the same figures, under the same names, among the metrics of Effect (\`Metric.snapshot\`, and
whatever exporter the program has); Baton writes to the \`Metric.MetricRegistry\` of the Effect or Layer that it is built in.
Those that take asking the disk, the database or another process are on this page alone, and marked so.
What is counted per request and per transaction are plain numbers that the registry reads when it is asked.

With HTTP workers (\`BATON_HTTP_WORKERS\`) the main process answers for all of them. Figures about requests are sums over
all processes; those about a process carry the label \`process\` (\`main\`, \`worker-1\`, ...). What a worker counted between
the last look and its sudden death is lost.

## Under the names that Electric uses

Dots are underscores, as in Electric's own Prometheus output, so that dashboards can stay. Histograms of milliseconds
have bounds from 0.5 to 60,000.

${table(having("electric_"))}

## Others

${table(having("baton_"))}

## What to watch

[operations.md](operations.md) has the questions to ask, the alert rules and the dashboard.
`

if (import.meta.main) {
  writeFileSync(documentPath, metricsDocument())
  process.stdout.write(`Wrote ${documentPath}\n`)
}
