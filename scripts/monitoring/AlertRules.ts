import type { Alert } from "./Alert.ts"
import { serviceAlerts } from "./ServiceAlerts.ts"
import { sourceAlerts } from "./SourceAlerts.ts"
import { storageAlerts } from "./StorageAlerts.ts"

export const alertGroups: ReadonlyArray<{ readonly name: string; readonly alerts: ReadonlyArray<Alert> }> = [
  { name: "Source", alerts: sourceAlerts },
  { name: "Service", alerts: serviceAlerts },
  { name: "Storage", alerts: storageAlerts }
]

export const alerts: ReadonlyArray<Alert> = alertGroups.flatMap((group) => group.alerts)

/** As GitHub and others make them of headings. */
export const anchorOf = ({ name }: Alert): string => name.toLowerCase()

const quoted = (text: string): string => JSON.stringify(text)

/** The file that Prometheus loads. */
export const alertRules = (): string => {
  const lines = ["# Made by scripts/monitoring.ts from scripts/monitoring: change it there.", "groups:"]
  for (const group of alertGroups) {
    lines.push(`  - name: baton-${group.name.toLowerCase()}`, "    rules:")
    for (const alert of group.alerts)
      lines.push(
        `      - alert: ${alert.name}`,
        `        expr: ${quoted(alert.expression)}`,
        `        for: ${alert.for}`,
        `        labels: { severity: ${alert.severity} }`,
        "        annotations:",
        `          summary: ${quoted(alert.summary)}`,
        `          runbook_url: docs/operations.md#${anchorOf(alert)}`
      )
  }
  return `${lines.join("\n")}\n`
}

/** For `promtool test rules`: each alert fires with what it is made for. `rules`: where the file is. */
export const alertTests = (rules: string): string =>
  // JSON is YAML, too.
  JSON.stringify({
    rule_files: [rules],
    evaluation_interval: "1m",
    tests: alerts.map(({ firesWith, name }) => ({
      interval: "1m",
      input_series: Object.entries(firesWith).map(([series, values]) => ({ series, values })),
      promql_expr_test: [
        {
          expr: `count by (alertname) (ALERTS{alertname="${name}",alertstate="firing"})`,
          eval_time: "40m",
          exp_samples: [{ labels: `{alertname="${name}"}`, value: 1 }]
        }
      ]
    }))
  })
