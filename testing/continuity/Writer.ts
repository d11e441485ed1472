import { setTimeout as sleep } from "node:timers/promises"
import { eventually } from "../Eventually.ts"
import { connectTo } from "../postgres/RowText.ts"
import type { Random } from "../Random.ts"

/** Tables that shapes read, one of them in a sub-select, and one without a key. */
export const continuityTables = `
  CREATE TABLE members (project int, person int, PRIMARY KEY (project, person));
  CREATE TABLE items (id int PRIMARY KEY, project int, name text, note text);
  CREATE TABLE loose (name text, "of" int);
  ALTER TABLE loose REPLICA IDENTITY FULL;
  INSERT INTO members SELECT i % 6, i % 7 FROM generate_series(1, 40) i ON CONFLICT DO NOTHING;
  INSERT INTO items SELECT i, i % 6, 'a/b"' || i, repeat('x', i) FROM generate_series(1, 200) i;
  INSERT INTO loose SELECT 'l' || i, i FROM generate_series(1, 30) i`

const ids = 300

const statement = (random: Random): string => {
  const id = random.int(1, ids)
  const project = random.int(0, 7)
  const person = random.int(0, 7)
  const mark = random.int(0, 1_000_000)
  return random.pick([
    `INSERT INTO items VALUES (${id}, ${project}, 'n${mark}', NULL) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name`,
    `UPDATE items SET project = ${project} WHERE id = ${id}`,
    `UPDATE items SET note = repeat('long ${mark} ', ${random.int(0, 600)}) WHERE id = ${id}`,
    `UPDATE items SET name = NULL WHERE id BETWEEN ${id} AND ${id + 5}`,
    `DELETE FROM items WHERE id BETWEEN ${id} AND ${id + 2}`,
    // A key that is free: nobody else writes.
    `UPDATE items SET id = -id - ${mark} * 1000 WHERE id = ${id} AND ${mark % 1000} < 300`,
    `DELETE FROM items WHERE id < 0 AND id % 3 = 0`,
    `INSERT INTO members VALUES (${project}, ${person}) ON CONFLICT DO NOTHING`,
    `DELETE FROM members WHERE project = ${project} AND person = ${person}`,
    // A name that nobody had: without a key two equal rows are one to a client.
    `INSERT INTO loose VALUES ('l${mark}-${random.int(0, 1_000_000_000)}', ${mark % 50})`,
    `UPDATE loose SET "of" = "of" + 1 WHERE "of" % 7 = ${person}`,
    `DELETE FROM loose WHERE "of" % 11 = ${person}`
  ])
}

/** Writes random transactions, one after the other, whatever becomes of the database; what it refused is not repeated. */
export class ContinuityWriter {
  /** Transactions that the database has confirmed. */
  committed = 0
  private isPaused = false
  private isClosed = false
  private isBetween = true
  private readonly url: () => string
  private readonly random: Random
  private readonly running: Promise<void>

  constructor(url: () => string, random: Random) {
    this.url = url
    this.random = random
    this.running = this.run()
  }

  /** Nothing is under way when this resolves. */
  async pause(): Promise<void> {
    this.isPaused = true
    await eventually("the writer to pause", () => this.isBetween, 30_000)
  }

  resume(): void {
    this.isPaused = false
  }

  /** Until so many more transactions are confirmed. */
  async more(count: number): Promise<void> {
    const goal = this.committed + count
    await eventually(`${count} more transactions`, () => this.committed >= goal, 60_000)
  }

  async close(): Promise<void> {
    this.isClosed = true
    await this.running
  }

  private async run(): Promise<void> {
    while (!this.isClosed) {
      try {
        const client = await connectTo(this.url())
        try {
          while (!this.isClosed) {
            this.isBetween = this.isPaused
            if (this.isPaused) await sleep(5)
            else await this.transaction(client)
          }
        } finally {
          await client.end().catch(() => {})
        }
      } catch {
        // The database is away for a while, or another one.
        this.isBetween = this.isPaused
        await sleep(20)
      }
    }
  }

  private async transaction(client: Awaited<ReturnType<typeof connectTo>>): Promise<void> {
    const { random } = this
    const statements = Array.from({ length: random.int(1, 5) }, () => statement(random))
    const ending = random.chance(0.1) ? "ROLLBACK" : "COMMIT"
    await client.query(["BEGIN", ...statements, ending].join(";"))
    if (ending === "COMMIT") this.committed++
    await sleep(random.int(0, 8))
  }
}
