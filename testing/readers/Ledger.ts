import type { TextRow } from "../postgres/Rows.ts"

/** A message of a shape log, as far as it is checked here. */
export interface LogMessage {
  readonly key?: string
  readonly value?: TextRow
  readonly old_value?: TextRow
  readonly headers: {
    readonly operation?: string
    readonly control?: string
    readonly lsn?: string
    readonly op_position?: number
    readonly last?: boolean
    readonly txids?: ReadonlyArray<number>
    readonly key_change_from?: string
    readonly key_change_to?: string
  }
}

/**
 * What one client of a shape has been told: its rows, and whether every operation came exactly once and in order.
 *
 * Order and repetition are seen from the positions (commit LSN, operation), which must rise. A hole is seen from the
 * data: writers add one to a row's version column with each change, so the next one a client is told of is known.
 */
export class Ledger {
  readonly rows = new Map<string, TextRow>()
  /** Changes that came from the stream, and a digest of their positions: equal for clients of one shape. */
  operations = 0
  /** The same without beginning anew when the client has to. */
  operationsInAll = 0
  digest = 0
  /** How often the client had to start over. */
  refetches = 0
  readonly problems: Array<string> = []
  private lastTx = -1n
  private lastOp = -1
  /** The row whose delete says that it goes on under another key. */
  private moving: { readonly key: string; readonly row: TextRow } | undefined
  /** Versions that it was not told of, and deletes of rows that it never had: what a folded log leaves out, and leaves. */
  folded = 0
  private readonly versionColumn: string | undefined
  private readonly mayBeFolded: boolean

  /** `mayBeFolded`: logs are compacted, so a version may be passed over, and a delete may be all that is left of a row. */
  constructor(versionColumn?: string, mayBeFolded = false) {
    this.versionColumn = versionColumn
    this.mayBeFolded = mayBeFolded
  }

  apply(message: LogMessage): void {
    const { headers, key, value } = message
    if (headers.control === "must-refetch") return this.startOver()
    if (headers.operation === undefined || key === undefined || value === undefined) return
    if (headers.lsn !== undefined) this.position(message)
    const before = this.rows.get(key)
    switch (headers.operation) {
      case "insert": {
        if (before !== undefined) this.problem(`insert of a row that is there: ${this.describe(message)}`)
        if (headers.key_change_from !== undefined) {
          // A folded log may have the delete of one move and then the insert of another.
          if (this.moving?.key === headers.key_change_from) this.follows(this.moving.row, value, message)
          else if (this.mayBeFolded) this.folded++
          else this.problem(`key change without its delete: ${this.describe(message)}`)
        }
        this.moving = undefined
        this.rows.set(key, value)
        return
      }
      case "update": {
        if (before === undefined)
          return this.problem(`update of a row that is not there: ${this.describe(message)}`)
        this.follows(before, value, message)
        this.rows.set(key, { ...before, ...value })
        return
      }
      case "delete": {
        if (before === undefined) {
          if (this.mayBeFolded) return void this.folded++
          return this.problem(`delete of a row that is not there: ${this.describe(message)}`)
        }
        if (headers.key_change_to !== undefined) this.moving = { key, row: before }
        this.rows.delete(key)
        return
      }
      default:
        this.problem(`unknown operation: ${this.describe(message)}`)
    }
  }

  private startOver(): void {
    this.refetches++
    this.rows.clear()
    this.lastTx = -1n
    this.lastOp = -1
    this.operations = 0
    this.digest = 0
    this.moving = undefined
  }

  private position(message: LogMessage): void {
    const tx = BigInt(message.headers.lsn ?? "0")
    const op = message.headers.op_position ?? 0
    if (tx < this.lastTx || (tx === this.lastTx && op <= this.lastOp)) {
      this.problem(`${tx}_${op} came after ${this.lastTx}_${this.lastOp}: ${this.describe(message)}`)
    }
    this.lastTx = tx
    this.lastOp = op
    this.operations++
    this.operationsInAll++
    this.digest = (Math.imul(this.digest, 31) + Number(tx & 0xffffffffn) + op) >>> 0
  }

  private follows(before: TextRow, after: TextRow, message: LogMessage): void {
    const column = this.versionColumn
    if (column === undefined) return
    const from = Number(before[column])
    const to = Number(after[column])
    if (to === from + 1) return
    if (this.mayBeFolded && to > from) this.folded++
    else this.problem(`version ${to} came after ${from}: ${this.describe(message)}`)
  }

  private describe(message: LogMessage): string {
    return `${message.headers.lsn ?? "snapshot"}_${message.headers.op_position ?? ""} ${message.headers.operation} ${message.key}`
  }

  private problem(text: string): void {
    if (this.problems.length < 20) this.problems.push(text)
  }
}
