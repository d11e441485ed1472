import type { Alert } from "./Alert.ts"
import { alertGroups, anchorOf } from "./AlertRules.ts"

const severities: Readonly<Record<Alert["severity"], string>> = {
  critical: "critical: somebody has to look now",
  warning: "warning: somebody has to look today",
  info: "for information"
}

const section = (alert: Alert): string => `### ${alert.name}

${alert.summary.replaceAll(/ ?\(\{\{[^}]*\}\}\)| \{\{[^}]*\}\}/g, "")}. (${severities[alert.severity]})

\`\`\`promql
${alert.expression}
\`\`\`

- **What has happened.** ${alert.means}
- **Does it heal by itself?** ${alert.heals}
- **What to do.** ${alert.whatToDo}
`

const index = alertGroups
  .flatMap(({ alerts }) => alerts)
  .map(
    (alert) =>
      `| [${alert.name}](#${anchorOf(alert)}) | ${alert.severity} | ${alert.for} | ${alert.summary} |`
  )
  .join("\n")

const sections = alertGroups
  .map(({ alerts, name }) => `## Alerts: ${name.toLowerCase()}\n\n${alerts.map(section).join("\n")}`)
  .join("\n")

/** The whole of `docs/operations.md`; `introduction` is written by hand, in a file of its own. */
export const operationsPage = (
  introduction: string
): string => `<!-- Made by scripts/monitoring.ts: change scripts/monitoring/operations-introduction.md, or the alerts beside it. -->

${introduction.trimEnd()}

## All alerts

| Alert | Severity | After | Says |
| --- | --- | --- | --- |
${index.replaceAll(/ ?\(\{\{[^}]*\}\}\)| \{\{[^}]*\}\}/g, "")}

${sections}`
