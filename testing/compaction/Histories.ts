import type { Spill } from "../../src/storage/compaction/LogFold.ts"
import { type RowMessage, withLastMark } from "../../src/storage/compaction/RowMessage.ts"
import type { Random } from "../Random.ts"

/** A message of a log, as files hold it. */
export interface Entry {
  readonly tx: bigint
  readonly op: number
  readonly text: string
}

/** Rows by key, as readers hold them. */
export type Rows = ReadonlyMap<string, Readonly<Record<string, string | null>>>

export interface History {
  /** Texts of first rows, and what else they end with. */
  readonly firstRows: ReadonlyArray<string>
  readonly entries: ReadonlyArray<Entry>
}

const columns = ["id", "a", "b", "__proto__", "7"]
const relation = ["public", "items"]
const values = ["x", "y", "ä€🎈", `}},{"key":"`, "\n\\", `"`, null, ""]

const valuesOf = (entries: Iterable<readonly [string, string | null]>): Record<string, string | null> => {
  const record = Object.create(null) as Record<string, string | null>
  for (const [name, value] of entries) record[name] = value
  return record
}

/** One shape's history as its database might have made it: transactions over a few rows. */
export const randomHistory = (random: Random, most: number): History => {
  const keys = random.int(1, 5)
  const isFull = random.int(0, 2) === 0
  const value = () => values[random.int(0, values.length - 1)] ?? null
  const rows = new Map<string, Map<string, string | null>>()
  const rowOf = (id: string) => new Map(columns.map((name) => [name, name === "id" ? id : value()] as const))
  const firstRows: Array<string> = []
  for (let id = 0; id < keys; id++) {
    if (random.int(0, 1) === 0) continue
    const row = rowOf(String(id))
    rows.set(String(id), row)
    firstRows.push(
      JSON.stringify({
        key: keyOf(String(id)),
        value: valuesOf(row),
        headers: { operation: "insert", relation }
      })
    )
  }
  firstRows.push(`{"headers":{"control":"snapshot-end","xmin":"1"}}`)
  const entries: Array<Entry> = []
  let tx = BigInt(random.int(1, 50))
  let op = 0
  const write = (operation: string, id: string, said: object, more: object = {}, headers: object = {}) => {
    const text = JSON.stringify({
      key: keyOf(id),
      value: said,
      ...more,
      headers: { operation, relation, lsn: String(tx), txids: [7], op_position: op, ...headers }
    })
    entries.push({ tx, op, text })
    op += 2
  }
  const endTransaction = () => {
    const last = entries.at(-1)
    if (last?.tx === tx) entries[entries.length - 1] = { ...last, text: withLastMark(last.text) }
    tx += BigInt(random.int(1, 30))
    op = random.int(0, 3) * 2
  }
  while (entries.length < most) {
    const id = String(random.int(0, keys - 1))
    const row = rows.get(id)
    if (row === undefined) {
      const inserted = rowOf(id)
      rows.set(id, inserted)
      write("insert", id, valuesOf(inserted))
    } else if (random.int(0, 2) === 0) {
      rows.delete(id)
      const free = Array.from({ length: keys }, (_, k) => String(k)).find(
        (other) => !rows.has(other) && other !== id
      )
      const headers = free !== undefined && random.int(0, 3) === 0 ? { key_change_to: keyOf(free) } : {}
      write("delete", id, isFull ? valuesOf(row) : { id }, {}, headers)
      if ("key_change_to" in headers && free !== undefined) {
        const moved = new Map(row).set("id", free)
        rows.set(free, moved)
        op -= 1
        write("insert", free, valuesOf(moved), {}, { key_change_from: keyOf(id) })
        op -= 1
      }
    } else {
      const changed = columns.filter((name) => name !== "id" && random.int(0, 1) === 0)
      const old = valuesOf(changed.map((name) => [name, row.get(name) ?? null] as const))
      for (const name of changed) row.set(name, value())
      const said = isFull
        ? row
        : [["id", id] as const, ...changed.map((name) => [name, row.get(name) ?? null] as const)]
      write("update", id, valuesOf(said), isFull ? { old_value: old } : {})
    }
    if (random.int(0, 2) === 0) endTransaction()
  }
  endTransaction()
  return { firstRows, entries }
}

const keyOf = (id: string): string => `"public"."items"/"${id}"`

/** `undefined` for a message that is about no row. */
const parseRowMessage = (text: string): RowMessage | undefined => {
  const message = JSON.parse(text) as Partial<RowMessage>
  return message.key === undefined || message.value === undefined || message.headers?.operation === undefined
    ? undefined
    : (message as RowMessage)
}

/** What is wrong with a message for a reader with these rows; deletes of unknown rows are nothing wrong. */
export const applyStrictly = (
  rows: Map<string, Readonly<Record<string, string | null>>>,
  text: string
): string | undefined => {
  const message: RowMessage | undefined = parseRowMessage(text)
  if (message === undefined) return undefined
  const { headers, key, value } = message
  const known = rows.get(key)
  switch (headers.operation) {
    case "insert":
      if (known !== undefined) return `an insert of a row that is there: ${text}`
      rows.set(key, valuesOf(Object.entries(value)))
      return undefined
    case "update":
      if (known === undefined) return `an update of a row that is not there: ${text}`
      rows.set(key, valuesOf([...Object.entries(known), ...Object.entries(value)]))
      return undefined
    case "delete":
      rows.delete(key)
      return undefined
  }
}

/** Rows in an order of their own, to be compared. */
export const asText = (rows: Rows): string =>
  JSON.stringify(
    [...rows]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, row]) => [key, Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))])
  )

/** Lists in memory. */
export const memorySpill = (): Spill & { readonly lists: Map<number, Array<Uint8Array>> } => {
  const lists = new Map<number, Array<Uint8Array>>()
  return {
    lists,
    append: async (list, bytes) => {
      const known = lists.get(list)
      if (known === undefined) lists.set(list, [bytes])
      else known.push(bytes)
    },
    async *read(list) {
      yield* lists.get(list) ?? []
    },
    remove: async (list) => {
      lists.delete(list)
    }
  }
}
