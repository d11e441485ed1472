import { setTimeout as sleep } from "node:timers/promises"
import type pg from "pg"
import type { Random } from "../Random.ts"
import { connectTo } from "../postgres/RowText.ts"

export interface WriteLoadOptions {
  readonly url: string
  /** Tables `(id bigint primary key, v int not null, a text, b text)`, see `createTables`. */
  readonly tables: ReadonlyArray<string>
  readonly writers: number
  /** Transactions per second, all writers together; as fast as they can when left out. */
  readonly perSecond?: number
  readonly random: Random
  /** Changes in one transaction. */
  readonly sizes?: ReadonlyArray<number>
  /** Rows that a writer keeps in each table, more or less. */
  readonly rowsPerWriter?: number
}

/**
 * Random transactions for as long as it runs. Each writer has rows of its own, so nobody waits for a lock; a writer that
 * loses its connection comes back and goes on from what is in its tables.
 */
export interface WriteLoad {
  readonly committed: () => number
  readonly lostConnections: () => number
  /** Resolves when no transaction is open. */
  readonly pause: () => Promise<void>
  readonly resume: () => void
  readonly stop: () => Promise<void>
}

export const createTables = async (
  client: pg.Client,
  tables: ReadonlyArray<string>,
  rows: number
): Promise<void> => {
  for (const table of tables) {
    await client.query(`CREATE TABLE ${table} (id bigint PRIMARY KEY, v int NOT NULL, a text, b text)`)
    await client.query(
      `INSERT INTO ${table} SELECT g, 0, 'row ' || g, repeat('x', 60) FROM generate_series(1, ${rows}) g`
    )
  }
}

/** Ids of a writer's rows start here, apart from those that `createTables` makes. */
const idsPerWriter = 100_000_000

export const startWriteLoad = (options: WriteLoadOptions): WriteLoad => {
  const { rowsPerWriter = 50, sizes = [1, 1, 1, 2, 3, 10], tables, writers } = options
  const stopping = new AbortController()
  let gate: Promise<void> | undefined
  let open: (() => void) | undefined
  let committed = 0
  let lost = 0
  const idle = new Set<number>()
  const spacingMillis = options.perSecond === undefined ? 0 : (1000 * writers) / options.perSecond

  const write = async (writer: number, random: Random): Promise<void> => {
    const firstId = (writer + 1) * idsPerWriter
    let nextId = firstId
    let client: pg.Client | undefined
    let ids = new Map<string, Array<number>>()

    const begin = async (): Promise<pg.Client> => {
      const session = await connectTo(options.url)
      ids = new Map()
      for (const table of tables) {
        const { rows } = await session.query<{ id: string }>(
          `SELECT id FROM ${table} WHERE id >= $1 AND id < $2`,
          [firstId, firstId + idsPerWriter]
        )
        const found = rows.map(({ id }) => Number(id))
        ids.set(table, found)
        nextId = Math.max(nextId, ...found.map((id) => id + 1))
      }
      return session
    }

    const change = async (session: pg.Client): Promise<void> => {
      const table = random.pick(tables)
      const present = ids.get(table) ?? []
      const kind =
        present.length < rowsPerWriter / 2
          ? "insert"
          : random.pick(["insert", "update", "update", "update", "delete", "key"])
      const at = random.int(0, Math.max(0, present.length - 1))
      const id = present[at] ?? 0
      const text = `${random.int(0, 1e9)} "quoted" \\ ${"ü".repeat(random.int(0, 40))}`
      if (kind === "insert" && present.length < 2 * rowsPerWriter) {
        const created = nextId++
        await session.query(`INSERT INTO ${table} VALUES ($1, 0, $2, $3)`, [created, text, null])
        present.push(created)
      } else if (kind === "delete") {
        await session.query(`DELETE FROM ${table} WHERE id = $1`, [id])
        present[at] = present.at(-1) ?? 0
        present.pop()
      } else if (kind === "key") {
        const moved = nextId++
        await session.query(`UPDATE ${table} SET id = $2, v = v + 1 WHERE id = $1`, [id, moved])
        present[at] = moved
      } else {
        const column = random.pick(["a", "b"])
        await session.query(`UPDATE ${table} SET v = v + 1, ${column} = $2 WHERE id = $1`, [id, text])
      }
    }

    while (!stopping.signal.aborted) {
      if (gate !== undefined) {
        idle.add(writer)
        await gate
        idle.delete(writer)
        continue
      }
      const began = performance.now()
      try {
        client ??= await begin()
        const before = new Map([...ids].map(([table, present]) => [table, present.slice()]))
        await client.query("BEGIN")
        const size = random.pick(sizes)
        for (let i = 0; i < size; i++) await change(client)
        if (random.chance(0.1)) {
          await client.query("ROLLBACK")
          ids = before
        } else {
          await client.query("COMMIT")
          committed++
        }
      } catch {
        // Postgres was restarted or the connection cut: what is in the tables counts.
        lost++
        await client?.end().catch(() => {})
        client = undefined
        await sleep(50)
      }
      const spent = performance.now() - began
      if (spacingMillis > spent) await sleep(spacingMillis - spent)
    }
    await client?.end().catch(() => {})
    idle.add(writer)
  }

  const loops = Array.from({ length: writers }, (_, writer) => write(writer, options.random.fork()))
  const resume = () => {
    gate = undefined
    open?.()
  }
  return {
    committed: () => committed,
    lostConnections: () => lost,
    pause: async () => {
      gate ??= new Promise((resolve) => (open = resolve))
      while (idle.size < writers) await sleep(2)
    },
    resume,
    stop: async () => {
      stopping.abort()
      resume()
      await Promise.all(loops)
    }
  }
}
