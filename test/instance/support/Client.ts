import { assert } from "@effect/vitest"
import type { Received } from "../../http/support/harness.ts"

interface Message {
  readonly value?: { readonly id: string }
  readonly headers: { readonly lsn?: string; readonly control?: string }
}

/** `more`: ask again at once. `retry`: this instance cannot say now. `refetch`: 409, everything starts over. */
export type Progress = "upToDate" | "more" | "retry" | "refetch"

/** A client of one table's shape, wherever its requests go. No row may ever come to it twice. */
export class Client {
  readonly table: number
  handle: string | undefined
  offset = "-1"
  /** Numbers of the rows, in the order in which they came. */
  snapshot: Array<number> = []
  log: Array<number> = []
  refetches = 0
  private cursor = ""

  constructor(table: number) {
    this.table = table
  }

  target(live = false): string {
    const handle = this.handle === undefined ? "" : `&handle=${this.handle}`
    const cursor = live && this.cursor !== "" ? `&cursor=${this.cursor}` : ""
    return `/v1/shape?table=t${this.table}&offset=${this.offset}${handle}${live ? `&live=true${cursor}` : ""}`
  }

  get all(): ReadonlyArray<number> {
    return [...this.snapshot, ...this.log]
  }

  take(reply: Received): Progress {
    if (reply.status === 503) {
      assert.isNotEmpty(reply.header("retry-after"))
      return "retry"
    }
    if (reply.status === 409) {
      this.refetches++
      this.handle = reply.header("electric-handle")
      this.offset = "-1"
      this.snapshot = []
      this.log = []
      return "refetch"
    }
    assert.strictEqual(reply.status, 200, reply.text)
    const messages = reply.json() as ReadonlyArray<Message>
    for (const { headers, value } of messages) {
      if (value === undefined) continue
      const number = Number(value.id)
      assert.notInclude(this.all, number, `row ${number} came twice`)
      ;(headers.lsn === undefined ? this.snapshot : this.log).push(number)
    }
    this.handle = reply.header("electric-handle")
    this.offset = reply.header("electric-offset") ?? assert.fail("no offset")
    this.cursor = reply.header("electric-cursor") ?? ""
    return messages.at(-1)?.headers.control === "up-to-date" ? "upToDate" : "more"
  }
}
