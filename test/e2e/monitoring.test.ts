import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { monitoringFiles } from "../../scripts/monitoring.ts"
import { alerts, alertTests, anchorOf } from "../../scripts/monitoring/AlertRules.ts"
import { dashboardRows } from "../../scripts/monitoring/Dashboard.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { metricFamilies } from "../../src/metrics/MetricsFamilies.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { prometheusPath, promtool, promtoolPath, startPrometheus } from "../../testing/services/Prometheus.ts"
import { startService } from "../../testing/services/Service.ts"

const root = path.resolve(import.meta.dirname, "../..")
const isInstalled = prometheusPath !== undefined && promtoolPath !== undefined
if (!isInstalled)
  console.warn("Skipped: the tests with a real Prometheus need it (Debian: apt-get install prometheus).")

/** As Grafana fills them in, for a board that shows everything. */
const filledIn = (expression: string): string =>
  expression.replaceAll("$__rate_interval", "1m").replaceAll(/\$(?:job|instance)/g, ".*")

const panels = dashboardRows.flatMap((row) => row.panels)
const expressions = [
  ...alerts.map(({ expression, name }) => ({ where: name, expression })),
  ...panels.flatMap(({ lines, title }) =>
    lines.map(({ expression }) => ({ where: title, expression: filledIn(expression) }))
  )
]

/** Every series that there can be, by name, with its labels. */
const series = new Map(
  metricFamilies.flatMap(({ labels, name, type }) =>
    type === "histogram"
      ? [`${name}_bucket`, `${name}_sum`, `${name}_count`].map((one) => [one, [...labels, "le"]] as const)
      : [[name, labels] as const]
  )
)

describe("rules, dashboard and operations page", () => {
  it("are those of scripts/monitoring (write them anew with `npx node scripts/monitoring.ts`)", async () => {
    for (const [file, content] of await monitoringFiles())
      assert.strictEqual(readFileSync(path.join(root, file), "utf8"), content, file)
  })

  it("speak of metrics and labels that there are", () => {
    for (const { expression, where } of expressions) {
      const names = expression.match(/\b(?:baton|electric)_[a-z_]+/g) ?? []
      assert.isNotEmpty(names, where)
      for (const name of names) assert.isTrue(series.has(name), `${where}: there is no ${name}`)
      const known = new Set([...names.flatMap((name) => series.get(name) ?? []), "job", "instance"])
      const used = [
        ...Array.from(expression.matchAll(/([a-z_]+)(?:=|!=|=~|!~)"/g), ([, label = ""]) => label),
        ...Array.from(expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g), ([, list = ""]) =>
          list.split(", ")
        ).flat()
      ]
      for (const label of used) assert.isTrue(known.has(label), `${where}: no label ${label}`)
    }
  })

  it("lead from each alert to a section that is there, and from there to pages that are", () => {
    const page = readFileSync(path.join(root, "docs/operations.md"), "utf8")
    const headings = Array.from(page.matchAll(/^#+ (.+)$/gm), ([, text = ""]) =>
      text
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-")
    )
    assert.strictEqual(new Set(alerts.map(({ name }) => name)).size, alerts.length)
    for (const alert of alerts) assert.include(headings, anchorOf(alert))
    const rules = readFileSync(path.join(root, "docs/deploy/monitoring/alerts.yaml"), "utf8")
    const runbooks = Array.from(rules.matchAll(/runbook_url: (\S+)/g), ([, url = ""]) => url)
    assert.deepStrictEqual(
      runbooks,
      alerts.map((alert) => `docs/operations.md#${anchorOf(alert)}`)
    )
    for (const [, target = ""] of page.matchAll(/\]\(([^)#]*)(?:#[^)]*)?\)/g))
      if (target !== "") assert.isTrue(existsSync(path.join(root, "docs", target)), target)
    for (const [, named = ""] of page.matchAll(/\b(Baton[A-Z][A-Za-z]+)\b/g))
      assert.include(headings, named.toLowerCase(), "an alert that the page speaks of")
  })
})

/** Electric's dashboards have these names, which promtool does not like. */
const namesOfElectric = /^electric_\S+ (?:non-histogram .*"_count"|counter metrics should have "_total")/

describe.skipIf(!isInstalled)("with a real Prometheus", () => {
  const database = databaseForFile((db) =>
    db.query("CREATE TABLE items (id int PRIMARY KEY, title text); INSERT INTO items VALUES (1, 'a')")
  )

  it("each alert fires with what it is made for", () => {
    const directory = mkdtempSync(path.join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "baton-rules-"))
    try {
      const file = path.join(directory, "tests.yaml")
      writeFileSync(file, alertTests(path.join(root, "docs/deploy/monitoring/alerts.yaml")))
      promtool(["test", "rules", file])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it("a service that is well has every figure of the board, no alert, and metrics that promtool likes", async () => {
    const port = await freePort()
    const bucket = mkdtempSync(path.join(tmpdir(), "baton-bucket-"))
    await using service = await startService({
      database: database(),
      env: {
        ELECTRIC_PROMETHEUS_PORT: String(port),
        BATON_HTTP_WORKERS: "1",
        BATON_BUCKET: `file://${bucket}`
      }
    })
    await using prometheus = await startPrometheus([port])
    const shape = `${service.url}/v1/shape?table=items`
    const first = await fetch(`${shape}&offset=-1`)
    await first.text()
    const handle = first.headers.get("electric-handle")
    const held = fetch(`${shape}&handle=${handle}&offset=${first.headers.get("electric-offset")}&live=true`)
    await eventually("the held request", async () => {
      const [sum] = await prometheus.query("sum(baton_held_requests)")
      return sum?.value[1] === "1"
    })
    await database().query("INSERT INTO items VALUES (2, 'b')")
    await (await held).text()

    const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    const complaints = lint(page).filter((complaint) => !namesOfElectric.test(complaint))
    assert.deepStrictEqual(complaints, [])

    await eventually("two looks at everything", async () => {
      const [looks] = await prometheus.query("min(count_over_time(baton_info[1m]))")
      return Number(looks?.value[1]) >= 3
    })
    for (const { expression } of expressions) await prometheus.query(expression)
    await eventually("figures in every panel", async () => {
      for (const { lines, mayBeEmpty, title } of panels) {
        const found = await Promise.all(lines.map((one) => prometheus.query(filledIn(one.expression))))
        if (mayBeEmpty !== true && !found.some((results) => results.length > 0)) throw new Error(title)
      }
      return true
    })
    const rules = await eventually("a look at all rules", async () => {
      const found = await prometheus.rules()
      return found.every(({ health }) => health === "ok") ? found : undefined
    })
    assert.strictEqual(rules.length, alerts.length)
    await eventually("no alert", async () => {
      const raised = (await prometheus.rules()).filter(({ state }) => state !== "inactive")
      if (raised.length > 0) throw new Error(JSON.stringify(raised))
      return true
    })
    await service.stop()
    await eventually("the alert that the service is gone", async () =>
      (await prometheus.rules()).some(({ name, state }) => name === "BatonDown" && state === "pending")
    )
    rmSync(bucket, { recursive: true, force: true })
  })
})

/** What promtool has to say of a page. */
const lint = (page: string): ReadonlyArray<string> => {
  try {
    promtool(["check", "metrics"], page)
    return []
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return text
      .replace("promtool check metrics: ", "")
      .split("\n")
      .filter((one) => one !== "")
  }
}
