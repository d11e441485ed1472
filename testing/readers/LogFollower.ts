import { setTimeout as sleep } from "node:timers/promises"
import { Ledger, type LogMessage } from "./Ledger.ts"
import { type RefusedAnswer, refusedAnswer } from "./RefusedAnswer.ts"

export interface FollowerOptions {
  /** Of the service, without a path. */
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  readonly versionColumn?: string
  /** See `Ledger`. */
  readonly mayBeFolded?: boolean
  readonly onMessages?: (messages: ReadonlyArray<LogMessage>) => void
  /** Where to begin; `-1` unless said otherwise. With an offset of a shape its handle is needed. */
  readonly from?: { readonly handle: string; readonly offset: string }
  readonly keepsMessages?: boolean
  /** Longest wait for an answer; a live request takes up to the server's long-poll time-out. */
  readonly requestTimeoutMillis?: number
}

/**
 * A client of the HTTP protocol and nothing else: it follows a shape's log from offset to offset, comes back when a
 * connection is cut or the service says 503, and checks what each response promises.
 */
export class LogFollower {
  readonly ledger: Ledger
  offset: string
  handle: string | undefined
  live = false
  /** Every offset that a response has carried, in order. */
  readonly offsets: Array<string> = []
  readonly messages: Array<LogMessage> = []
  readonly conflicts: Array<{ readonly handle: string | undefined; readonly snapshotSeen: boolean }> = []
  /** Answers other than 200 and 409. */
  readonly failures: Array<RefusedAnswer> = []
  readonly problems: Array<string> = []
  cutConnections = 0
  upToDate = false
  /** The end of the snapshot has been received. */
  snapshotSeen = false
  /** An answer with a handle has been received. */
  answered = false
  private cursor: string | undefined
  private readonly options: FollowerOptions
  private readonly stopping = new AbortController()
  private loop: Promise<void> | undefined

  constructor(options: FollowerOptions) {
    this.options = options
    this.ledger = new Ledger(options.versionColumn, options.mayBeFolded)
    this.offset = options.from?.offset ?? "-1"
    this.handle = options.from?.handle
    this.offsets.push(this.offset)
  }

  /** Follows until `stop`. */
  start(): this {
    this.loop = this.follow(() => false)
    return this
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.loop
  }

  /** Follows until the first answer that says up to date. */
  async readToEnd(): Promise<this> {
    this.upToDate = false
    await this.follow(() => this.upToDate)
    return this
  }

  private async follow(done: () => boolean): Promise<void> {
    let pauseMillis = 5
    while (!this.stopping.signal.aborted && !done()) {
      try {
        pauseMillis = (await this.request()) ? 5 : Math.min(pauseMillis * 2, 200)
        if (pauseMillis > 5) await this.pause(pauseMillis)
      } catch (error) {
        if (this.stopping.signal.aborted) return
        if (error instanceof ProtocolViolation) {
          if (this.problems.length < 20) this.problems.push(error.message)
          await this.pause(100)
          continue
        }
        this.cutConnections++
        await this.pause(pauseMillis)
        pauseMillis = Math.min(pauseMillis * 2, 200)
      }
    }
  }

  private pause(millis: number): Promise<unknown> {
    return sleep(millis, undefined, { signal: this.stopping.signal }).catch(() => {})
  }

  /** True when the answer brought the follower forward, or may at once be followed by the next request. */
  private async request(): Promise<boolean> {
    const live = this.live
    const query = new URLSearchParams({ ...this.options.params, offset: this.offset })
    if (this.handle !== undefined) query.set("handle", this.handle)
    if (live) {
      query.set("live", "true")
      query.set("cursor", this.cursor ?? "")
    }
    const timeout = AbortSignal.timeout(this.options.requestTimeoutMillis ?? 30_000)
    const response = await fetch(`${this.options.url}/v1/shape?${query}`, {
      signal: AbortSignal.any([this.stopping.signal, timeout])
    })
    const text = await response.text()
    if (response.status === 409) {
      this.conflicts.push({ handle: this.handle, snapshotSeen: this.snapshotSeen })
      const next = response.headers.get("electric-handle") ?? undefined
      if (next !== undefined && next === this.handle)
        throw new ProtocolViolation(`409 with the handle that was sent: ${next}`)
      this.handle = next
      this.offset = "-1"
      this.live = false
      this.cursor = undefined
      this.snapshotSeen = false
      this.answered = false
      this.offsets.push("-1")
      this.ledger.apply({ headers: { control: "must-refetch" } })
      return true
    }
    if (response.status !== 200) {
      this.failures.push(refusedAnswer(response, text))
      return false
    }
    this.accept(response, text, live)
    return true
  }

  private accept(response: Response, text: string, live: boolean): void {
    const where = `after ${this.offset} of ${this.handle ?? "no handle"}${live ? ", live" : ""}`
    const handle = response.headers.get("electric-handle")
    const offset = response.headers.get("electric-offset")
    if (handle === null || offset === null)
      throw new ProtocolViolation(`no handle or offset in the answer ${where}`)
    if (this.handle !== undefined && this.offset !== "-1" && handle !== this.handle) {
      throw new ProtocolViolation(`handle ${handle} in the answer ${where}`)
    }
    const messages = JSON.parse(text) as ReadonlyArray<LogMessage>
    const changes = messages.filter(({ headers }) => headers.operation !== undefined)
    const last = changes.at(-1)
    if (last?.headers.lsn !== undefined) {
      const position = `${last.headers.lsn}_${last.headers.op_position}`
      if (position !== offset) {
        throw new ProtocolViolation(
          `offset ${offset} but the last operation is ${position} in the answer ${where}`
        )
      }
    } else if (changes.length === 0 && !sameEnd(this.offset, offset, this.options.mayBeFolded)) {
      throw new ProtocolViolation(`offset ${offset} without an operation in the answer ${where}`)
    }
    const announced = response.headers.has("electric-up-to-date")
    const said = messages.at(-1)?.headers.control === "up-to-date"
    if (announced !== said)
      throw new ProtocolViolation(`up-to-date in header: ${announced}, in body: ${said}, ${where}`)
    if (said && last?.headers.lsn !== undefined && last.headers.last !== true) {
      throw new ProtocolViolation(`up-to-date inside transaction ${last.headers.lsn} ${where}`)
    }
    if (live) {
      const cursor = response.headers.get("electric-cursor")
      if (cursor === null || cursor === this.cursor)
        throw new ProtocolViolation(`cursor ${cursor} again ${where}`)
      this.cursor = cursor
    }
    for (const message of messages) {
      this.ledger.apply(message)
      if (message.headers.control === "snapshot-end") this.snapshotSeen = true
    }
    if (this.options.keepsMessages === true) this.messages.push(...messages)
    this.options.onMessages?.(messages)
    this.answered = true
    this.handle = handle
    if (offset !== this.offset) this.offsets.push(offset)
    this.offset = offset
    this.upToDate = said
    if (said) this.live = true
  }
}

class ProtocolViolation extends Error {}

/**
 * Without changes an answer may only turn a place inside the snapshot into a later one, or into its end; behind rows of a base that is
 * a place in the log.
 */
const sameEnd = (before: string, after: string, mayBeFolded = false): boolean =>
  before === after || before === "-1" || (before.startsWith("0_") && (mayBeFolded || after.startsWith("0_")))
