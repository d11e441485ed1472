import {
  type ExternalParamsRecord,
  type Row,
  Shape,
  ShapeStream,
  type ShapeStreamInterface
} from "@electric-sql/client"
import type { TestDatabase } from "../postgres/Database.ts"
import { eventually } from "../Eventually.ts"
import { differenceOfRows, selectRows, type TextRow } from "../postgres/Rows.ts"

export interface SyncOptions {
  /** Of the service, without a path. */
  readonly url: string
  /** `table`, `where`, `columns`, `replica`, `secret` and so on. */
  readonly params: ExternalParamsRecord<Row>
  readonly liveSse?: boolean
  readonly headers?: Record<string, string>
}

/** A shape that the official client keeps in sync. */
export interface SyncedShape {
  readonly stream: ShapeStream<Row>
  readonly shape: Shape<Row>
  /** The rows right now, with values as text. */
  readonly rows: () => ReadonlyArray<TextRow>
  /** How often the client had to start over (409). */
  readonly refetches: () => number
  /** Errors that the client could not deal with by itself. */
  readonly errors: ReadonlyArray<unknown>
  /** Waits until the rows are those of the query; otherwise fails with what differs. */
  readonly untilEqual: (
    database: TestDatabase,
    sql: string,
    options?: { readonly deadlineMillis?: number; readonly collapse?: boolean }
  ) => Promise<void>
  readonly stop: () => void
}

/** Leaves text as it is; booleans and arrays, which the client parses by their declared type, are turned back. */
const asText = (value: string): string => value

const parser = Object.fromEntries(
  ["int2", "int4", "int8", "bool", "float4", "float8", "json", "jsonb"].map((type) => [type, asText])
)

/** Follows a shape with `@electric-sql/client`, exactly as an application would. */
export const syncShape = (options: SyncOptions): SyncedShape => {
  const abort = new AbortController()
  const errors: Array<unknown> = []
  let refetches = 0
  const stream = new ShapeStream<Row>({
    url: `${options.url}/v1/shape`,
    params: options.params,
    parser,
    signal: abort.signal,
    ...(options.liveSse === undefined ? {} : { liveSse: options.liveSse }),
    ...(options.headers === undefined ? {} : { headers: options.headers }),
    // Tests must not sleep for seconds after a restart of the service.
    backoffOptions: { initialDelay: 20, maxDelay: 200, multiplier: 1.5 },
    fetchClient: async (input, init) => {
      const response = await fetch(input, init)
      if (response.status === 409) refetches++
      return response
    },
    onError: (error) => {
      errors.push(error)
    }
  })
  const shape = new Shape<Row>(stream as ShapeStreamInterface<Row>) // its types are not written for exactOptionalPropertyTypes
  const rows = () => shape.currentRows.map(textOf)
  const state = () =>
    [
      ...errors.map((error) => `the client reported: ${String(error)}`),
      stream.isUpToDate ? "the client believes to be up to date" : "the client is not up to date"
    ].join("\n")
  return {
    stream,
    shape,
    rows,
    refetches: () => refetches,
    errors,
    untilEqual: async (database, sql, { deadlineMillis, collapse = false } = {}) => {
      await eventually(
        "equal rows",
        async () => {
          const differs = differenceOfRows(await selectRows(database, sql), rows(), { collapse })
          if (differs !== undefined) throw new Error(`${differs}\n${state()}`)
          return true
        },
        deadlineMillis
      )
    },
    stop: () => abort.abort()
  }
}

const textOf = (row: Row): TextRow =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name, textOfValue(value)]))

const textOfValue = (value: unknown): string | null => {
  if (value === null || value === undefined) return null
  return Array.isArray(value) ? arrayText(value) : String(value)
}

/** An array as Postgres writes it, with the quotes that it would use. Source: Postgres docs, "Array Output". */
const arrayText = (items: ReadonlyArray<unknown>): string =>
  `{${items
    .map((item) => {
      if (item === null) return "NULL"
      if (Array.isArray(item)) return arrayText(item)
      const text = String(item)
      return /^$|[\s{}",\\]|^null$/i.test(text) ? `"${text.replaceAll(/["\\]/g, "\\$&")}"` : text
    })
    .join(",")}}`
