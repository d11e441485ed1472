import { nowMillis } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { beginning, type Change, readChanges, shapePath } from "./ShapeReader.ts"

/** Runs `work` for 0 to `count - 1` over a few connections. */
export const overConnections = async (
  port: number,
  connections: number,
  count: number,
  work: (connection: HttpConnection, index: number) => Promise<void>
): Promise<void> => {
  let next = 0
  await Promise.all(
    Array.from({ length: Math.min(connections, count) }, async () => {
      const connection = await HttpConnection.open(port)
      try {
        while (next < count) await work(connection, next++)
      } finally {
        connection.close()
      }
    })
  )
}

export const whereShape = (where: string, table = "items"): string =>
  `table=${table}&where=${encodeURIComponent(where)}`

export const tenantShape = (tenant: number, table = "items"): string =>
  whereShape(`tenant = ${tenant}`, table)

/** Creates the shapes `from` to `to - 1`; gives how many were made per second. */
export const createShapes = async (
  port: number,
  parameters: (index: number) => string,
  from: number,
  to: number,
  connections = 20
): Promise<number> => {
  if (to <= from) return Number.NaN
  const began = nowMillis()
  await overConnections(port, connections, to - from, async (connection, i) => {
    const reply = await connection.request(shapePath(parameters(from + i), beginning))
    if (reply.status !== 200) {
      throw new Error(`Shape ${from + i}: status ${reply.status}, ${reply.body.toString().slice(0, 300)}`)
    }
  })
  return (to - from) / ((nowMillis() - began) / 1000)
}

/**
 * Reads shapes from their beginning and checks that each was given the rows that belong to it, once each and nothing
 * else. Reads at most `atMost` of them, evenly chosen. Gives the number of rows read.
 */
export const checkShapes = async (
  port: number,
  count: number,
  parameters: (index: number) => string,
  expected: (index: number) => ReadonlySet<number>,
  atMost = 10_000
): Promise<number> => {
  const stride = Math.max(1, Math.ceil(count / atMost))
  let total = 0
  await overConnections(port, 4, Math.ceil(count / stride), async (connection, i) => {
    const index = i * stride
    const belongs = expected(index)
    const seen = new Set<number>()
    await readChanges(connection, parameters(index), beginning, (change: Change) => {
      const id = Number(change.value?.["id"])
      if (change.headers.operation !== "insert" || !belongs.has(id) || seen.has(id)) {
        throw new Error(
          `Shape ${index} holds row ${id} (${change.headers.operation}), which is wrong or came before.`
        )
      }
      seen.add(id)
    })
    if (seen.size !== belongs.size) {
      throw new Error(`Shape ${index} holds ${seen.size} rows instead of ${belongs.size}.`)
    }
    total += seen.size
  })
  return total
}
