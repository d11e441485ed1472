import type { Client } from "pg"
import { nowMillis } from "./Clock.ts"
import type { Database } from "./Cluster.ts"

/** Rows of the table `beats` belong to one of these lanes, in turn. */
export const lanes = 4

/** Distinct shapes; all of one lane receive the same rows. */
export const beatShape = (index: number): string =>
  `table=beats&where=${encodeURIComponent(`lane = ${index % lanes} AND id > ${-1 - Math.floor(index / lanes)}`)}`

export const laneOf = (index: number): number => index % lanes

/**
 * Writes small transactions at a steady rate: each a row of `beats`, and one of `items` for one of `tenants` other
 * shapes. Remembers when each was committed.
 */
export class Beats {
  /** When the row with this id was committed, by id. */
  readonly committedAt: Array<number> = [0]
  private readonly session: Client
  private readonly tenants: number
  private readonly everyMillis: number
  private stopping = false
  private running: Promise<void> = Promise.resolve()

  private constructor(session: Client, tenants: number, perSecond: number) {
    this.session = session
    this.tenants = tenants
    this.everyMillis = 1000 / perSecond
  }

  static async create(database: Database, tenants: number, perSecond: number): Promise<Beats> {
    await database.run("CREATE TABLE beats (id bigint PRIMARY KEY, lane integer NOT NULL)")
    return new Beats(await database.session(), tenants, perSecond)
  }

  get last(): number {
    return this.committedAt.length - 1
  }

  start(): void {
    this.stopping = false
    this.running = this.write()
  }

  private async write(): Promise<void> {
    let next = nowMillis()
    while (!this.stopping) {
      const id = this.committedAt.length
      await this.session.query({
        name: "beat",
        text: "WITH b AS (INSERT INTO beats VALUES ($1, $2)) INSERT INTO items (id, tenant, title, done, created, note) VALUES ($1, $3, 'beat', false, now(), '')",
        values: [id, id % lanes, id % Math.max(1, this.tenants)]
      })
      this.committedAt.push(nowMillis())
      next = Math.max(next + this.everyMillis, nowMillis() - 100)
      const rest = next - nowMillis()
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest))
    }
  }

  /** Completes when the last row is committed. */
  async stop(): Promise<void> {
    this.stopping = true
    await this.running
  }
}
