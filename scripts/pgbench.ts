/**
 * pgbench's TPC-B against a database whose tables official clients follow from before the start; afterwards each must
 * have exactly what its table has.
 *
 *   npx node scripts/pgbench.ts [--scale 10] [--seconds 60] [--clients 4]
 */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../testing/Eventually.ts"
import { differenceOfRows } from "../testing/postgres/Rows.ts"
import { startService } from "../testing/services/Service.ts"
import { type RecordingClient, startClient } from "../testing/readers/RecordingClient.ts"
import { connectForText, connectTo, selectText } from "../testing/postgres/RowText.ts"

const { values: options } = parseArgs({
  options: {
    scale: { type: "string", default: "10" },
    seconds: { type: "string", default: "60" },
    clients: { type: "string", default: "4" }
  }
})

const say = (text: string) => process.stdout.write(`${text}\n`)
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1)

/** Debian keeps it beside the server, under the version. */
const pgbench = (): string => {
  const versions = [19, 18, 17, 16, 15, 14].map((version) => `/usr/lib/postgresql/${version}/bin/pgbench`)
  return versions.find((file) => existsSync(file)) ?? "pgbench"
}

const runPgbench = (
  args: ReadonlyArray<string>,
  url: string,
  onLine: (line: string) => void
): Promise<void> =>
  new Promise((resolve, reject) => {
    const { hostname, port, username, password, pathname } = new URL(url)
    const child = spawn(pgbench(), [...args], {
      env: {
        PATH: process.env["PATH"],
        PGHOST: hostname,
        PGPORT: port,
        PGUSER: username,
        PGPASSWORD: decodeURIComponent(password),
        PGDATABASE: pathname.slice(1)
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const output of [child.stdout, child.stderr]) {
      output.setEncoding("utf8").on("data", (text: string) => {
        for (const line of text.split("\n")) if (line.trim() !== "") onLine(line)
      })
    }
    child.once("error", reject)
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`pgbench ended with ${code}`))))
  })

const tables = ["pgbench_accounts", "pgbench_tellers", "pgbench_history"] as const

const cluster = await startCluster({ settings: { max_wal_size: "4GB" } })
const storageDir = mkdtempSync(path.join(tmpdir(), "baton-pgbench-"))
const admin = await connectTo(cluster.url("postgres"))
await admin.query("CREATE DATABASE bench")
await admin.end()
const url = cluster.url("bench")
say(`Postgres ${cluster.version} on port ${cluster.port}, log in ${cluster.logFile}`)

let failed = false
const clients = new Map<(typeof tables)[number], RecordingClient>()
try {
  await runPgbench(["-i", "-q", "-s", options.scale], url, () => {})
  say(`pgbench tables of scale ${options.scale} are there`)
  const service = await startService({
    storageDir,
    env: {
      DATABASE_URL: url,
      ELECTRIC_REPLICATION_STREAM_ID: "pgbench",
      BATON_JOURNAL_SEGMENT_BYTES: "4194304"
    }
  })
  say(`Baton on port ${service.port}, storage in ${storageDir}`)
  let began = performance.now()
  for (const table of tables) clients.set(table, startClient({ url: service.url, params: { table } }))
  for (const [table, client] of clients) {
    await client.shape.rows
    say(`${table}: ${client.rows().length} rows after ${seconds(began)} s`)
  }

  say(`TPC-B for ${options.seconds} s with ${options.clients} clients`)
  const progress = ["-P", "10", "-c", options.clients, "-j", "2", "-T", options.seconds]
  await runPgbench(["-n", ...progress], url, (line) => {
    if (/^progress|^tps|transactions actually/.test(line)) {
      const followed = [...clients].map(([table, { ledger }]) => `${table.slice(8)} ${ledger.operations}`)
      say(`${line}   [followed: ${followed.join(", ")}]`)
    }
  })
  began = performance.now()
  const session = await connectForText(url)
  for (const [table, client] of clients) {
    const expected = await selectText(session, `SELECT * FROM ${table}`)
    let verdict = "equal"
    try {
      await eventually(
        table,
        () => {
          const differs = differenceOfRows(expected, client.rows())
          if (differs !== undefined) throw new Error(differs)
          return true
        },
        120_000
      )
    } catch (error) {
      verdict = `NOT EQUAL: ${error instanceof Error ? error.message : String(error)}`
      failed = true
    }
    say(
      `${table}: ${verdict}, ${expected.length} rows, ${client.ledger.operations} changes, ${seconds(began)} s after the end`
    )
    for (const problem of client.ledger.problems) say(`  ${problem}`)
    for (const failure of client.failures) say(`  ${failure.status} ${failure.url} ${failure.body}`)
    for (const error of client.errors) say(`  ${String(error)}`)
    if (client.ledger.problems.length + client.failures.length + client.errors.length > 0) failed = true
  }
  await session.end()
  for (const line of service.logs().split("\n")) if (/warn|error/i.test(line)) say(`log: ${line}`)
  for (const client of clients.values()) client.stop()
  const ending = await service.stop()
  if (ending.code !== 0) {
    say(`The service ended with ${ending.code}`)
    failed = true
  }
} finally {
  for (const client of clients.values()) client.stop()
  await cluster.destroy()
  if (failed) say(`Storage stays in ${storageDir}`)
  else rmSync(storageDir, { recursive: true, force: true })
}
say(failed ? "FAILED" : "PASSED: every client has what its table has")
process.exit(failed ? 1 : 0)
