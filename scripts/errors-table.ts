/** Writes `docs/errors.md` from the table of what operators are told of: `npx node scripts/errors-table.ts`. */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import type { FaultKind } from "../src/shared/TellFault.ts"
import { databaseFaults } from "../src/telemetry/faults/DatabaseFaults.ts"
import type { FaultRows } from "../src/telemetry/faults/FaultRows.ts"
import { replicationFaults } from "../src/telemetry/faults/ReplicationFaults.ts"
import { serviceFaults } from "../src/telemetry/faults/ServiceFaults.ts"
import { storageFaults } from "../src/telemetry/faults/StorageFaults.ts"

export const errorsPath = path.join(import.meta.dirname, "..", "docs", "errors.md")

const cell = (text: string): string => text.replaceAll("|", "\\|")

const shownBy = (code: string, { doctor, lasts, metric }: Omit<FaultKind, "code">): string =>
  [
    `\`${lasts === true ? "baton_fault_active" : "baton_faults_total"}{code="${code}"}\``,
    ...(metric === undefined ? [] : [`\`${metric}\``]),
    ...(doctor === undefined ? [] : [`doctor: ${doctor}`])
  ].join(", ")

const section = (heading: string, rows: FaultRows): string => {
  const kinds = Object.entries(rows)
  const overview = [
    "| Code | Severity | What | Seen by |",
    "| --- | --- | --- | --- |",
    ...kinds.map(
      ([code, row]) =>
        `| [\`${code}\`](#${code.toLowerCase()}) | ${row.severity} | ${cell(row.title)} | ${cell(shownBy(code, row))} |`
    )
  ]
  const details = kinds.map(
    ([code, { advice, happened, heals, title }]) =>
      `### ${code}\n\n${title}. ${happened}\n\n- **Does it heal by itself?** ${heals}\n- **What to do.** ${advice}`
  )
  return `## ${heading}\n\n${overview.join("\n")}\n\n${details.join("\n\n")}`
}

/** The whole document, as it should be in the file. */
export const errorsDocument = (): string => `# What the log tells an operator

<!-- Made by scripts/errors-table.ts from src/telemetry/faults: change it there. -->

Every warning and error in the log has a code of this page: in brackets before the message in text, as \`code\` in JSON. A code
never changes its meaning. The line says what happened in the case at hand, whether it heals by itself, and what to do; what
comes again and again is said once a minute or so, with how often it has come.

\`baton_faults_total{code="…"}\` counts each code from the start of the process, and \`baton_fault_active{code="…"}\` is 1 as long as
one lasts that can last. An alert on \`max by (code) (baton_fault_active) == 1\` for some minutes, and on
\`increase(baton_faults_total[10m]) > 0\` for those of severity \`critical\`, leaves nothing out.

_Severity_: with \`critical\` (in the log an \`error\`) clients or data are concerned until it is mended; with \`warning\` they will be,
or the service does less than it could; \`info\` is to be known.

${section("The database", databaseFaults)}

${section("Replication, tables and the lock", replicationFaults)}

${section("Storage and the bucket", storageFaults)}

${section("Shapes, requests and processes", serviceFaults)}
`

if (import.meta.main) {
  writeFileSync(errorsPath, errorsDocument())
  process.stdout.write(`Wrote ${errorsPath}\n`)
}
