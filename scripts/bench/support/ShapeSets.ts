import { nowMillis } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import {
  type Change,
  ExactlyOnce,
  type Position,
  positionOf,
  readChanges,
  shapePath,
  beginning
} from "./ShapeReader.ts"

/** Shapes on the table `items`, and what each of them must hold. */
export interface ShapeSet {
  readonly count: number
  readonly description: string
  readonly parameters: (index: number) => string
  /** How many of the rows with ids 1 to `rows` belong to a shape, and which. */
  readonly belongs: (index: number, id: number) => boolean
  readonly expected: (index: number, rows: number) => number
  readonly positions: ReadonlyArray<Position>
  readonly createdPerSecond: number
}

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

export const tenantShape = (tenant: number, table = "items"): string =>
  `table=${table}&where=${encodeURIComponent(`tenant = ${tenant}`)}`

/** Creates `count` shapes: one of the whole table, or one for each tenant. */
export const createShapes = async (
  port: number,
  count: number,
  say: (line: string) => void
): Promise<ShapeSet> => {
  const parameters = (index: number) => (count === 1 ? "table=items" : tenantShape(index))
  const positions: Array<Position> = Array.from({ length: count }, () => beginning)
  const began = nowMillis()
  await overConnections(port, 20, count, async (connection, index) => {
    const reply = await connection.request(shapePath(parameters(index), beginning))
    positions[index] = positionOf(reply)
  })
  const createdPerSecond = count / ((nowMillis() - began) / 1000)
  if (count > 1) say(`created ${count} shapes, ${Math.round(createdPerSecond)} per second`)
  return {
    count,
    description: count === 1 ? "1 shape of the whole table" : `${count} shapes \`tenant = k\``,
    parameters,
    positions,
    createdPerSecond,
    belongs: (index, id) => count === 1 || id % count === index,
    expected: (index, rows) =>
      count === 1 ? rows : Math.floor(rows / count) + (index !== 0 && rows % count >= index ? 1 : 0)
  }
}

/** Reads shapes from their beginning and checks that each holds its rows exactly once. Gives the number of rows read. */
export const readAll = async (
  port: number,
  shapes: ShapeSet,
  rows: number,
  atMost = 10_000
): Promise<number> => {
  const stride = Math.max(1, Math.ceil(shapes.count / atMost))
  let total = 0
  await overConnections(port, 4, Math.ceil(shapes.count / stride), async (connection, i) => {
    const index = i * stride
    if (shapes.count === 1) {
      const check = new ExactlyOnce(1, rows)
      await readChanges(connection, shapes.parameters(0), beginning, check.take)
      check.finish(rows)
      total += rows
      return
    }
    const seen = new Set<string>()
    let last = ""
    await readChanges(connection, shapes.parameters(index), beginning, (change: Change) => {
      const id = change.value?.["id"] ?? ""
      if (change.headers.operation !== "insert" || !shapes.belongs(index, Number(id)) || seen.has(id)) {
        throw new Error(
          `Shape ${index} holds row ${id} (${change.headers.operation}) wrongly, after row ${last}.`
        )
      }
      seen.add(id)
      last = id
    })
    const expected = shapes.expected(index, rows)
    if (seen.size !== expected)
      throw new Error(`Shape ${index} holds ${seen.size} rows instead of ${expected}.`)
    total += seen.size
  })
  return total
}
