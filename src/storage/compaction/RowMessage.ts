import type { LogOffset } from "../../shapes/LogOffset.ts"

/** Columns of a row by their names, as text or NULL. */
type Values = Readonly<Record<string, string | null>>

export type Operation = "insert" | "update" | "delete"

/** A message of a log, of first rows or of a base that is about a row. */
export interface RowMessage {
  readonly key: string
  readonly value: Values
  /** With `replica=full`: what the changed columns held before. */
  readonly old_value?: Values
  readonly headers: {
    readonly operation: Operation
    /** Commit LSN; first rows have none. */
    readonly lsn?: string
    readonly op_position?: number
    readonly [name: string]: unknown
  }
}

const lastMark = `,"last":true}}`

/** The message without the mark that it is the last one of its transaction: what follows it may be gone. */
export const withoutLastMark = (text: string): string =>
  text.endsWith(lastMark) ? `${text.slice(0, -lastMark.length)}}}` : text

/** The message with that mark. */
export const withLastMark = (text: string): string => `${text.slice(0, -2)}${lastMark}`

const keyMark = `{"key":"`
const operationMark = `"headers":{"operation":"`
const lsnMark = `"lsn":"`
const positionMark = `"op_position":`

const operations: ReadonlyMap<string | undefined, Operation> = new Map([
  ["i", "insert"],
  ["u", "update"],
  ["d", "delete"]
])

const backslash = 0x5c

/** Position of the quote that ends a JSON string of which `from` is in the middle. */
const endOfString = (text: string, from: number): number => {
  for (let at = text.indexOf(`"`, from); at >= 0; at = text.indexOf(`"`, at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === backslash) slashes++
    if (slashes % 2 === 0) return at
  }
  return text.length
}

/**
 * The key of a message, or `undefined` for one that is about no row. `text` is one message, whole, as Baton writes them: the key is
 * first, headers are last, and the operation is the first of them.
 */
export const keyIn = (text: string): string | undefined =>
  text.startsWith(keyMark)
    ? (JSON.parse(text.slice(keyMark.length - 1, endOfString(text, keyMark.length) + 1)) as string)
    : undefined

/** Of a message that is about a row. Within a value each quote has a backslash before it. */
export const operationIn = (text: string): Operation => {
  const operation = operations.get(text[text.lastIndexOf(operationMark) + operationMark.length])
  if (operation === undefined) throw new Error(`no operation in ${text.slice(0, 1000)}`)
  return operation
}

/** Of first rows and bases, before all of the log. */
const beforeLog: LogOffset = { tx: 0n, op: 0 }

/** Where a message that is about a row stands in its log. */
export const offsetIn = (text: string): LogOffset => {
  const headers = text.lastIndexOf(operationMark)
  const lsn = text.indexOf(lsnMark, headers)
  if (lsn < 0) return beforeLog
  const from = lsn + lsnMark.length
  const position = text.indexOf(positionMark, headers)
  return {
    tx: BigInt(text.slice(from, text.indexOf(`"`, from))),
    op: position < 0 ? 0 : Number.parseInt(text.slice(position + positionMark.length, position + 40), 10)
  }
}

const hasAll = (values: Values, names: ReadonlyArray<string>): boolean => {
  for (const name of names) if (!Object.hasOwn(values, name)) return false
  return true
}

/** `first`, and over it `second`. A column may have any name. */
const over = (first: Values, second: Values): Values => {
  const names = Object.keys(first)
  if (hasAll(second, names)) return second
  const both = Object.create(null) as Record<string, string | null>
  for (const name of names) both[name] = first[name] as string | null
  for (const name of Object.keys(second)) both[name] = second[name] as string | null
  return both
}

/** One update that does what both do, one after the other: it stands where the second one stands. */
export const mergedUpdate = (first: RowMessage, second: RowMessage): RowMessage => {
  const { headers, key } = second
  const value = over(first.value, second.value)
  const { old_value: before } = first
  const { old_value: between } = second
  if (before === undefined && between === undefined) return { key, value, headers }
  return { key, value, old_value: over(between ?? {}, before ?? {}), headers }
}

/** The row that an insert, and an update of it, come to, as first rows have it. */
export const rowText = (insert: string, update: RowMessage | undefined): string => {
  if (update === undefined && !insert.includes(lsnMark, insert.lastIndexOf(operationMark))) return insert
  const message = JSON.parse(insert) as RowMessage
  const { headers, key, value } = message
  const { relation } = headers
  return JSON.stringify({
    key,
    value: update === undefined ? value : over(value, update.value),
    headers: { operation: "insert", relation }
  })
}

/** The headers of updates stand last, and in them LSN and position: `LogFileSearch` finds offsets by that. */
export const updateText = ({ headers, key, old_value, value }: RowMessage): string => {
  const { last: _, ...kept } = headers
  return JSON.stringify(
    old_value === undefined ? { key, value, headers: kept } : { key, value, old_value, headers: kept }
  )
}
