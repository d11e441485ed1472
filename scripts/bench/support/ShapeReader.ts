import { HttpConnection, type Reply } from "./HttpConnection.ts"

export interface Change {
  readonly key?: string
  readonly value?: Readonly<Record<string, string | null>>
  readonly headers: {
    readonly operation?: "insert" | "update" | "delete"
    readonly control?: string
    readonly lsn?: string
    readonly op_position?: number
  }
}

/** Where a reader of a shape stands. */
export interface Position {
  readonly handle: string
  readonly offset: string
}

export const beginning: Position = { handle: "", offset: "-1" }

/** `parameters`: the query without handle and offset, e.g. `table=items&where=tenant%3D1`. */
export const shapePath = (parameters: string, position: Position, more = ""): string =>
  `/v1/shape?${parameters}&offset=${position.offset}${position.handle === "" ? "" : `&handle=${position.handle}`}${more}`

export const positionOf = (reply: Reply): Position => {
  if (reply.status !== 200) throw new Error(`Status ${reply.status}: ${reply.body.toString().slice(0, 300)}`)
  const handle = reply.headers.get("electric-handle")
  const offset = reply.headers.get("electric-offset")
  if (handle === undefined || offset === undefined) throw new Error("A reply without handle or offset.")
  return { handle, offset }
}

export const isUpToDate = (reply: Reply): boolean => reply.headers.has("electric-up-to-date")

/** Reads on from `from` until up to date. `take` is given all bytes; the replies' own bodies are empty then. */
export const readToEnd = async (
  connection: HttpConnection,
  parameters: string,
  from: Position,
  take: (piece: Buffer) => void
): Promise<{ readonly position: Position; readonly requests: number }> => {
  let position = from
  for (let requests = 1; ; requests++) {
    const reply = await connection.request(shapePath(parameters, position), take)
    position = positionOf(reply)
    if (isUpToDate(reply)) return { position, requests }
  }
}

/** The same, parsed: `take` is given every change in order. */
export const readChanges = async (
  connection: HttpConnection,
  parameters: string,
  from: Position,
  take: (change: Change) => void
): Promise<Position> => {
  let position = from
  for (;;) {
    const reply = await connection.request(shapePath(parameters, position))
    position = positionOf(reply)
    for (const change of JSON.parse(reply.body.toString()) as ReadonlyArray<Change>) {
      if (change.headers.operation !== undefined) take(change)
    }
    if (isUpToDate(reply)) return position
  }
}

/** The newest position of a shape, which is created if it does not exist; its log is not read. */
export const newest = async (connection: HttpConnection, parameters: string): Promise<Position> =>
  positionOf(await connection.request(`/v1/shape?${parameters}&offset=now`))

/** The LSN of an offset: 0 for one inside the first rows. */
export const lsnOfOffset = (offset: string): bigint =>
  offset.startsWith("-") ? 0n : BigInt(offset.split("_")[0] ?? 0)

/** Checks that each of a set of ids is inserted once, and nothing else. */
export class ExactlyOnce {
  private readonly seen: Uint8Array
  private readonly first: number
  private readonly expects: (id: number) => boolean
  private found = 0

  constructor(first: number, count: number, expects: (id: number) => boolean = () => true) {
    this.first = first
    this.seen = new Uint8Array(count)
    this.expects = expects
  }

  readonly take = (change: Change): void => {
    const id = Number(change.value?.["id"])
    const at = id - this.first
    if (change.headers.operation !== "insert")
      throw new Error(`Unexpected ${change.headers.operation} of row ${id}.`)
    if (!(at >= 0 && at < this.seen.length) || !this.expects(id))
      throw new Error(`Row ${id} does not belong here.`)
    if (this.seen[at] === 1) throw new Error(`Row ${id} came twice.`)
    const title = change.value?.["title"]
    if (title !== undefined && title !== `Item number ${id}`) throw new Error(`Row ${id} is titled ${title}.`)
    this.seen[at] = 1
    this.found++
  }

  /** Fails when something is missing. */
  finish(expected: number): void {
    if (this.found !== expected) throw new Error(`${expected} rows should have come, ${this.found} did.`)
  }
}
