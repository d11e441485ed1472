/**
 * Writes what a monitoring system needs, from the tables in `scripts/monitoring`: rules and dashboard in
 * `docs/deploy/monitoring`, and what to do about each alert in `docs/operations.md`: `npx node scripts/monitoring.ts`.
 */
import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { format, resolveConfig } from "prettier"
import { alertRules } from "./monitoring/AlertRules.ts"
import { dashboard } from "./monitoring/Dashboard.ts"
import { operationsPage } from "./monitoring/OperationsPage.ts"

const root = path.join(import.meta.dirname, "..")
const introduction = path.join(import.meta.dirname, "monitoring", "operations-introduction.md")

/** Where each file stands, below the root of the repository, and what is to be in it. */
export const monitoringFiles = async (): Promise<ReadonlyMap<string, string>> => {
  const style = await resolveConfig(path.join(root, "package.json"))
  return new Map([
    ["docs/deploy/monitoring/alerts.yaml", alertRules()],
    [
      "docs/deploy/monitoring/dashboard.json",
      await format(JSON.stringify(dashboard()), { ...style, parser: "json" })
    ],
    ["docs/operations.md", operationsPage(readFileSync(introduction, "utf8"))]
  ])
}

if (import.meta.main)
  for (const [file, content] of await monitoringFiles()) {
    writeFileSync(path.join(root, file), content)
    process.stdout.write(`Wrote ${file}\n`)
  }
