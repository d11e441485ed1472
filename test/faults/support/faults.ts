import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { onTestFinished } from "vitest"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import type { TestCluster } from "../../../testing/postgres/PostgresForTests.ts"
import { type ServiceOptions, startService, type TestService } from "../../../testing/services/Service.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { patient } from "../../../testing/Load.ts"

export interface Answer {
  readonly status: number
  readonly handle: string | null
  readonly body: string
  /** Values of the rows in it. */
  readonly rows: ReadonlyArray<unknown>
}

/** A request for a shape, by default for all of it from the beginning. */
export const ask = async (url: string, parameters: Readonly<Record<string, string>>): Promise<Answer> => {
  const query = new URLSearchParams({ offset: "-1", ...parameters })
  const response = await fetch(`${url}/v1/shape?${query}`, { signal: AbortSignal.timeout(patient(30_000)) })
  const body = await response.text()
  const parsed: unknown = response.status === 200 ? JSON.parse(body) : []
  // A subset stands in an object, with its snapshot.
  const messages = (Array.isArray(parsed) ? parsed : (parsed as { data: unknown }).data) as ReadonlyArray<{
    value?: unknown
  }>
  return {
    status: response.status,
    handle: response.headers.get("electric-handle"),
    body,
    rows: messages.flatMap(({ value }) => (value === undefined ? [] : [value]))
  }
}

/** A database for one test, removed after it. */
export const databaseForTest = async (cluster?: TestCluster): Promise<TestDatabase> => {
  const database = await createDatabase(cluster)
  onTestFinished(() => database.drop())
  return database
}

export interface TestRole {
  readonly name: string
  readonly url: string
  readonly withPassword: (password: string) => string
}

/** A role with these attributes, and none of the rights that go without saying. */
export const roleForTest = async (database: TestDatabase, attributes: string): Promise<TestRole> => {
  const name = `r_${randomBytes(6).toString("hex")}`
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first' ${attributes}`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`).catch(() => {})
  })
  const withPassword = (password: string) =>
    `postgresql://${name}:${password}@${database.host}:${database.port}/${database.name}`
  return { name, url: withPassword("first"), withPassword }
}

/** Storage that outlives a service. */
export const storageForTest = (): string => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-faults-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A service that ends with the test. */
export const serviceForTest = async (options: ServiceOptions): Promise<TestService> => {
  const service = await startService(options)
  onTestFinished(service.dispose)
  return service
}

/** How the looks begin by which the service notices what was altered without a write: at its tables, at its publication. */
const looks = [
  "%SELECT s.snapshot, CASE WHEN s.snapshot%",
  "%pg_catalog.md5(%FROM pg_catalog.pg_publication x%"
]

/** Until the one instance at work has looked once, from now on, at its tables and at its publication, and dealt with it. */
export const untilLooked = async (database: TestDatabase): Promise<void> => {
  const [since] = await database.queryText("SELECT clock_timestamp() AS at")
  await Promise.all(
    looks.map((look) => {
      const begun = new Set<string | null>()
      // When the second begins, the first is over, and it has begun after this.
      return eventually("two looks", async () => {
        const found = await database.queryText(
          `SELECT query_start AS at FROM pg_stat_activity
           WHERE datname = current_database() AND query LIKE $1 AND query_start > $2`,
          [look, since?.["at"]]
        )
        for (const { at } of found) begun.add(at ?? null)
        return begun.size >= 2
      })
    })
  )
}

/** Ends every session of a role, as a restart of the database does. */
export const endSessions = (database: TestDatabase, role: string): Promise<unknown> =>
  database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", [role])
