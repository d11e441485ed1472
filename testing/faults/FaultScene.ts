import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type pg from "pg"
import { freePort } from "../../src/dev/FreePort.ts"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { connectTo } from "../postgres/RowText.ts"
import { type ServiceOptions, startService, type TestService } from "../services/Service.ts"

/** Where databases are made: a whole cluster, or the one that the tests share. */
export interface FaultCluster {
  readonly port: number
  readonly url: (database: string) => string
}

/** A service whose metrics can be read. */
export interface WatchedService {
  readonly service: TestService
  readonly metricsPort: number
  /** What it was told, for commands that are given the same. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

interface StartOptions extends Pick<ServiceOptions, "until" | "port"> {
  /** Over what every service of the scene is told. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** By default the one of the scene, which all of its services share. */
  readonly storageDir?: string
}

/** What one fault is injected into: a database of its own, services on it, and whatever ends with it. */
export class FaultScene {
  readonly name = `f_${randomBytes(5).toString("hex")}`
  readonly directory = mkdtempSync(path.join(tmpdir(), "baton-fault-"))
  readonly slotName = `electric_slot_${this.name}`
  readonly publicationName = `electric_publication_${this.name}`
  private cluster: FaultCluster
  private readonly endings: Array<() => unknown> = []
  private client: pg.Client | undefined

  constructor(cluster: FaultCluster) {
    this.cluster = cluster
  }

  get port(): number {
    return this.cluster.port
  }

  /** Runs when the scene is over, the latest first. */
  atEnd(work: () => unknown): void {
    this.endings.push(work)
  }

  /** A Postgres of its own from now on, for what concerns all of a server. */
  async ownCluster(settings: Readonly<Record<string, string>>): Promise<Cluster> {
    const cluster = await startCluster({ settings: { fsync: "off", ...settings } })
    this.atEnd(() => cluster.destroy())
    this.cluster = cluster
    return cluster
  }

  get url(): string {
    return this.cluster.url(this.name)
  }

  connect(): Promise<pg.Client> {
    return connectTo(this.url).then((client) => {
      this.atEnd(() => client.end().catch(() => {}))
      return client
    })
  }

  /** Runs SQL in the database of the scene, which is made first. */
  async query(sql: string): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> {
    if (this.client === undefined) {
      const admin = await connectTo(this.cluster.url("postgres"))
      await admin.query(`CREATE DATABASE ${this.name}`)
      await admin.end()
      this.client = await this.connect()
    }
    const { rows } = await this.client.query(sql)
    return rows as ReadonlyArray<Readonly<Record<string, unknown>>>
  }

  /** A role that may log in, and how it does. */
  async role(attributes: string): Promise<{ readonly name: string; readonly url: string }> {
    const name = `r_${randomBytes(5).toString("hex")}`
    await this.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first' ${attributes}`)
    const url = new URL(this.url)
    url.username = name
    url.password = "first"
    return { name, url: url.href }
  }

  async start(options: StartOptions = {}): Promise<WatchedService> {
    await this.query("SELECT 1")
    const metricsPort = await freePort()
    const storageDir = options.storageDir ?? path.join(this.directory, "storage")
    const env = {
      DATABASE_URL: this.url,
      ELECTRIC_REPLICATION_STREAM_ID: this.name,
      ELECTRIC_PROMETHEUS_PORT: String(metricsPort),
      ...options.env
    }
    const service = await startService({
      storageDir,
      until: options.until ?? "active",
      ...(options.port === undefined ? {} : { port: options.port }),
      env
    })
    this.atEnd(service.dispose)
    const environment = {
      ELECTRIC_INSECURE: "true",
      ELECTRIC_PORT: String(service.port),
      ELECTRIC_STORAGE_DIR: storageDir,
      ...env
    }
    return { service, metricsPort, environment }
  }

  async end(): Promise<void> {
    for (const work of this.endings.splice(0).toReversed()) {
      try {
        await work()
      } catch {
        // The next one is to be ended all the same.
      }
    }
    try {
      const admin = await connectTo(this.cluster.url("postgres"))
      await admin.query(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active",
        [this.slotName]
      )
      await admin
        .query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", [
          this.slotName
        ])
        .catch(() => {})
      await admin.query(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`)
      await admin.end()
    } catch {
      // The server was the scene's own.
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Asks for a shape, and gives the status: 0 when there was no answer. */
export const askShape = async (
  { service }: WatchedService,
  params: Readonly<Record<string, string>>
): Promise<{ readonly status: number; readonly handle: string }> => {
  try {
    const query = new URLSearchParams({ offset: "-1", ...params })
    const answer = await fetch(`${service.url}/v1/shape?${query}`, { signal: AbortSignal.timeout(20_000) })
    await answer.arrayBuffer()
    return { status: answer.status, handle: answer.headers.get("electric-handle") ?? "" }
  } catch {
    return { status: 0, handle: "" }
  }
}
