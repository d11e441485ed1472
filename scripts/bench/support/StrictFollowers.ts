import { eventually } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { beginning, type Change, type Position, positionOf, shapePath } from "./ShapeReader.ts"

/** What a client that follows a shape holds. */
export interface Follower {
  readonly parameters: string
  /** Version of each row by its id. */
  readonly rows: ReadonlyMap<number, number>
  readonly changes: () => number
  /** Waits until it holds exactly these rows. */
  readonly holds: (expected: ReadonlyMap<number, number>, deadlineMillis: number) => Promise<void>
  readonly stop: () => Promise<void>
}

/**
 * Applies changes as a strict client: an insert of a row that is there, or an update or delete of one that is not, is a
 * failure. So is a change that came before. `isFolded`: it reads a log that may be folded, in which a delete may be all that is
 * left of a row that was inserted and deleted (docs/storage.md).
 */
export class StrictRows {
  readonly rows = new Map<number, number>()
  private readonly name: string
  private lastOffset = 0n
  private lastOp = -1
  private readonly isFolded: boolean
  changes = 0

  constructor(name: string, isFolded = false) {
    this.name = name
    this.isFolded = isFolded
  }

  readonly take = (change: Change): void => {
    const { operation, lsn, op_position: op } = change.headers
    if (operation === undefined) {
      if (change.headers.control === "must-refetch") throw new Error(`${this.name} was dropped.`)
      return
    }
    if (lsn !== undefined && op !== undefined) {
      const offset = BigInt(lsn)
      if (offset < this.lastOffset || (offset === this.lastOffset && op <= this.lastOp)) {
        throw new Error(`${this.name}: ${lsn}_${op} came after ${this.lastOffset}_${this.lastOp}.`)
      }
      this.lastOffset = offset
      this.lastOp = op
    }
    const id = Number(change.value?.["id"])
    const known = this.rows.has(id)
    if (operation === "delete" && !known && this.isFolded) return
    if (known !== (operation !== "insert")) {
      throw new Error(`${this.name}: ${operation} of row ${id}, which is ${known ? "" : "not "}there.`)
    }
    this.changes++
    if (operation === "delete") this.rows.delete(id)
    else {
      const version = change.value?.["version"]
      if (version !== undefined) this.rows.set(id, Number(version))
      else if (operation === "insert") this.rows.set(id, 0)
    }
  }
}

export const sameRows = (a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean =>
  a.size === b.size && Array.from(a).every(([id, version]) => b.get(id) === version)

/** Follows a shape from its beginning by long-polling, as applications do, until it is stopped. */
export const follow = async (
  port: number,
  parameters: string,
  fail: (error: unknown) => void
): Promise<Follower> => {
  const connection = await HttpConnection.open(port)
  const strict = new StrictRows(parameters)
  let position: Position = beginning
  let upToDate = false
  const state = { stopped: false }
  const ask = async (): Promise<void> => {
    const reply = await connection.request(shapePath(parameters, position, upToDate ? "&live=true" : ""))
    if (state.stopped) return
    const next = positionOf(reply)
    for (const change of JSON.parse(reply.body.toString()) as ReadonlyArray<Change>) strict.take(change)
    upToDate = reply.headers.has("electric-up-to-date")
    position = next
  }
  const loop = (async () => {
    try {
      while (!state.stopped) await ask()
    } catch (error) {
      if (!state.stopped) fail(error)
    }
  })()
  return {
    parameters,
    rows: strict.rows,
    changes: () => strict.changes,
    holds: async (expected, deadlineMillis) => {
      await eventually(`${parameters} to hold ${expected.size} rows as they are`, deadlineMillis, 50, () =>
        upToDate && sameRows(strict.rows, expected) ? true : undefined
      )
    },
    stop: async () => {
      state.stopped = true
      connection.close()
      await Promise.race([loop, new Promise((resolve) => setImmediate(resolve))])
    }
  }
}
