import { electricCollectionOptions } from "@tanstack/electric-db-collection"
import { createCollection } from "@tanstack/db"
import { eventually } from "../Eventually.ts"
import { patient } from "../Load.ts"
import { differenceOfRows, type TextRow } from "../postgres/Rows.ts"
import { syncShape } from "../readers/Client.ts"
import { ShapeLogReader } from "../readers/ShapeLog.ts"
import type { World } from "./World.ts"

/** Somebody who follows a shape for the whole of a run, and never fetches it again. */
export interface ContinuityReader {
  readonly name: string
  /** What Postgres selects for it. */
  readonly query: string
  /** Until it holds these rows. Fails with what differs, and when it had to start over. */
  readonly untilHolds: (expected: ReadonlyArray<TextRow>) => Promise<void>
  readonly close: () => void | Promise<void>
}

const mine = "project IN (SELECT project FROM members WHERE person = 3)"

/** Shapes and their queries. The table without a key has equal rows, which readers hold once. */
const shapes: ReadonlyArray<readonly [params: Readonly<Record<string, string>>, query: string]> = [
  [{ table: "items" }, "SELECT * FROM items"],
  [{ table: "items", replica: "full" }, "SELECT * FROM items"],
  [
    { table: "items", columns: "id,note", where: "project = 2" },
    "SELECT id, note FROM items WHERE project = 2"
  ],
  [
    { table: "items", where: "name LIKE 'n%' OR id < 50" },
    "SELECT * FROM items WHERE name LIKE 'n%' OR id < 50"
  ],
  [{ table: "items", where: mine }, `SELECT * FROM items WHERE ${mine}`],
  [{ table: "items", where: mine, replica: "full" }, `SELECT * FROM items WHERE ${mine}`],
  [{ table: "loose" }, `SELECT DISTINCT * FROM loose`]
]

const deadlineMillis = 15_000

const plainReader = (
  world: World,
  params: Readonly<Record<string, string>>,
  query: string
): ContinuityReader => {
  const reader = new ShapeLogReader({ url: world.balancer.url, params, retryMillis: patient(deadlineMillis) })
  const name = `${JSON.stringify(params)} over plain HTTP`
  return {
    name,
    query,
    untilHolds: async (expected) => {
      const differs = () => differenceOfRows(expected, [...reader.rows.values()])
      try {
        await reader.followUntil(
          "the rows of the table",
          () => differs() === undefined,
          patient(deadlineMillis)
        )
      } catch (error) {
        throw new Error(`${name} at ${reader.position.offset}: ${String(error)}\n${differs()}`, {
          cause: error
        })
      }
    },
    close: () => {}
  }
}

const officialReader = (
  world: World,
  params: Readonly<Record<string, string>>,
  query: string,
  liveSse: boolean
): ContinuityReader => {
  const synced = syncShape({ url: world.balancer.url, params: { table: "", ...params }, liveSse })
  const name = `${JSON.stringify(params)} in the official client${liveSse ? ", event stream" : ""}`
  return {
    name,
    query,
    untilHolds: async (expected) => {
      await eventually(
        name,
        () => {
          const differs = differenceOfRows(expected, synced.rows())
          if (differs !== undefined) throw new Error(`${differs}\n${synced.errors.join("\n")}`)
          return true
        },
        deadlineMillis
      )
      if (synced.refetches() > 0) throw new Error(`${name} had to start over`)
    },
    close: () => synced.stop()
  }
}

type Item = { id: number; project: number | null; name: string | null; note: string | null }

const text = (value: unknown) => (value === null || value === undefined ? null : String(value))

const tanstackReader = (world: World): ContinuityReader => {
  let refetches = 0
  const collection = createCollection(
    electricCollectionOptions<Item>({
      id: "items of continuity",
      getKey: ({ id }) => id,
      shapeOptions: {
        url: `${world.balancer.url}/v1/shape`,
        params: { table: "items" },
        backoffOptions: { initialDelay: 20, maxDelay: 200, multiplier: 1.5 },
        fetchClient: async (input, init) => {
          const response = await fetch(input, init)
          if (response.status === 409) refetches++
          return response
        }
      }
    })
  )
  // Without a subscriber a collection is given up after some minutes.
  collection.subscribeChanges(() => {})
  const name = "items in TanStack DB"
  return {
    name,
    query: "SELECT * FROM items",
    untilHolds: async (expected) => {
      await eventually(
        name,
        () => {
          const rows = collection.toArray.map(({ id, name: itemName, note, project }): TextRow => ({
            id: text(id),
            project: text(project),
            name: text(itemName),
            note: text(note)
          }))
          const differs = differenceOfRows(expected, rows)
          if (differs !== undefined) throw new Error(differs)
          return true
        },
        deadlineMillis
      )
      if (refetches > 0) throw new Error(`${name} had to start over`)
    },
    close: () => collection.cleanup()
  }
}

/** Readers of all kinds, of shapes of all kinds. */
export const startReaders = (world: World): ReadonlyArray<ContinuityReader> => {
  const [whole, full, columns, , moving] = shapes
  const official = [whole, columns, moving].flatMap((shape, i) =>
    shape === undefined ? [] : [officialReader(world, shape[0], shape[1], i % 2 === 1)]
  )
  if (full === undefined) return official
  return [
    ...shapes.map(([params, query]) => plainReader(world, params, query)),
    ...official,
    officialReader(world, full[0], full[1], true),
    tanstackReader(world)
  ]
}

/** Every reader holds exactly what Postgres selects. Nobody may write meanwhile. */
export const compareReaders = async (
  world: World,
  readers: ReadonlyArray<ContinuityReader>
): Promise<ReadonlyArray<string>> => {
  const selected = new Map<string, ReadonlyArray<TextRow>>()
  for (const query of new Set(readers.map((reader) => reader.query)))
    selected.set(query, await world.select(query))
  const compared = await Promise.allSettled(
    readers.map((reader) => reader.untilHolds(selected.get(reader.query) ?? []))
  )
  return compared.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []))
}
