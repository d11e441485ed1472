import { setTimeout as sleep } from "node:timers/promises"
import type { TextRow } from "../postgres/Rows.ts"
import { patient } from "../Load.ts"

/** One message of a shape's log, as it came over the wire. */
export interface LogMessage {
  readonly key?: string
  readonly value?: TextRow
  readonly old_value?: TextRow
  readonly headers: {
    readonly operation?: "insert" | "update" | "delete"
    readonly control?: string
    readonly lsn?: string
    readonly op_position?: number
    readonly last?: boolean
    readonly txids?: ReadonlyArray<number>
    readonly [name: string]: unknown
  }
}

/** One answer of the service. */
export interface LogResponse {
  readonly request: URL
  readonly status: number
  readonly headers: Headers
  readonly offset: string | null
  readonly handle: string | null
  readonly isUpToDate: boolean
  readonly body: string
  readonly messages: ReadonlyArray<LogMessage>
}

export interface Position {
  readonly offset: string
  readonly handle?: string | undefined
  readonly cursor?: string | undefined
}

/** One request, with no retry and no opinion about the status. `url` is that of the service. */
export const requestLog = async (
  url: string,
  params: Readonly<Record<string, string>>,
  position: Position,
  options: { readonly live?: boolean; readonly signal?: AbortSignal } = {}
): Promise<LogResponse> => {
  const request = new URL("/v1/shape", url)
  for (const [name, value] of Object.entries(params)) request.searchParams.set(name, value)
  request.searchParams.set("offset", position.offset)
  if (position.handle !== undefined) request.searchParams.set("handle", position.handle)
  if (options.live === true) {
    request.searchParams.set("live", "true")
    request.searchParams.set("cursor", position.cursor ?? "")
  }
  const response = await fetch(request, options.signal === undefined ? {} : { signal: options.signal })
  const body = await response.text()
  const isLog = response.status === 200 || response.status === 409
  const messages: ReadonlyArray<LogMessage> = isLog && body !== "" ? JSON.parse(body) : []
  return {
    request,
    status: response.status,
    headers: response.headers,
    offset: response.headers.get("electric-offset"),
    handle: response.headers.get("electric-handle"),
    isUpToDate: response.headers.has("electric-up-to-date"),
    body,
    messages
  }
}

/** A change of a streamed transaction: everything but snapshot rows and control messages. */
export interface Operation {
  readonly lsn: bigint
  readonly position: number
  readonly operation: "insert" | "update" | "delete"
  readonly key: string
  readonly value: TextRow
  readonly isLast: boolean
}

export interface ReaderOptions {
  /** Of the service; changed with `moveTo`. */
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  /** Start here instead of at the beginning, with a known handle. */
  readonly from?: Position
  /** Lost connections and 503 are tried again for this long; default 0, they are errors. */
  readonly retryMillis?: number
  /** Start over on 409 instead of failing. */
  readonly mayRefetch?: boolean
  /** An update that leaves its row as it was is a broken promise. Needs a reader that began at the beginning. */
  readonly changesOnly?: boolean
}

/**
 * Follows a shape over plain HTTP, one request after the other, and checks each answer against the promises of the
 * protocol: every operation exactly once, in commit order, each applicable to the rows before it, and offsets that never
 * run ahead of what was sent. A broken promise is an error that says which.
 */
export class ShapeLogReader {
  /** Every answer with status 200, oldest first, since the last start over. */
  readonly responses: Array<LogResponse> = []
  /** Streamed changes, in the order of their arrival, since the last start over. */
  readonly operations: Array<Operation> = []
  /** The materialised rows by key. */
  readonly rows = new Map<string, TextRow>()
  refetches = 0
  retries = 0
  position: Position
  isUpToDate = false
  private url: string
  private readonly options: ReaderOptions
  /** Rows are complete only for readers that began at the beginning. */
  private readonly isComplete: boolean

  constructor(options: ReaderOptions) {
    this.options = options
    this.url = options.url
    this.position = options.from ?? { offset: "-1" }
    this.isComplete = this.position.offset === "-1"
  }

  /** Continues at another instance. */
  moveTo(url: string): void {
    this.url = url
  }

  /** One request; live when the last answer reached the end of the log. */
  async step(signal?: AbortSignal): Promise<LogResponse> {
    const response = await this.request(signal)
    if (response.status === 409 && this.options.mayRefetch === true) {
      this.startOver(response.handle)
      return response
    }
    if (response.status !== 200) {
      throw new Error(`${response.request.href} was answered with ${response.status}: ${response.body}`)
    }
    this.accept(response)
    return response
  }

  /** Reads until the first answer that says "up to date". */
  async readToEnd(): Promise<void> {
    do await this.step()
    while (!this.isUpToDate)
  }

  /** Follows the log, live where it has to, until `done` says so after some answer. */
  async followUntil(
    what: string,
    done: () => boolean | Promise<boolean>,
    deadlineMillis = 20_000
  ): Promise<void> {
    const signal = AbortSignal.timeout(patient(deadlineMillis))
    try {
      while (!(await done())) await this.step(signal)
    } catch (error) {
      if (!signal.aborted) throw error
      throw new Error(
        `Waited ${deadlineMillis} ms in vain for ${what}: at ${this.position.offset} of ${this.position.handle}, with ` +
          `${this.rows.size} rows and ${this.operations.length} operations`,
        { cause: error }
      )
    }
  }

  private async request(signal: AbortSignal | undefined): Promise<LogResponse> {
    const deadline = performance.now() + patient(this.options.retryMillis ?? 0)
    for (;;) {
      try {
        const response = await requestLog(this.url, this.options.params, this.position, {
          live: this.isUpToDate,
          ...(signal === undefined ? {} : { signal })
        })
        if (response.status !== 503 || performance.now() > deadline) return response
      } catch (error) {
        if (signal?.aborted === true || performance.now() > deadline) throw error
      }
      this.retries++
      await sleep(20)
    }
  }

  private startOver(handle: string | null): void {
    this.refetches++
    this.responses.length = 0
    this.operations.length = 0
    this.rows.clear()
    this.isUpToDate = false
    this.position = { offset: "-1", handle: handle ?? undefined }
  }

  private accept(response: LogResponse): void {
    const { handle, isUpToDate, messages, offset } = response
    const asked = response.request.searchParams.get("offset") ?? ""
    const broken = (what: string) =>
      new Error(`${what}, in the answer to ${response.request.href}: ${response.body.slice(0, 2000)}`)
    if (handle === null || offset === null) throw broken("No handle or no offset")
    if (this.position.handle !== undefined && asked !== "-1" && handle !== this.position.handle) {
      throw broken(`The handle changed from ${this.position.handle} without a 409`)
    }
    let last: Operation | undefined
    for (const message of messages) {
      const operation = this.apply(message, broken)
      if (operation !== undefined) last = operation
    }
    if (last !== undefined && offset !== `${last.lsn}_${last.position}`) {
      throw broken(`The offset ${offset} is not that of the last change, ${last.lsn}_${last.position}`)
    }
    const lastOffset = this.operations.at(-1)
    if (isUpToDate && lastOffset?.isLast === false) throw broken("Up to date in the middle of a transaction")
    if (isUpToDate !== (messages.at(-1)?.headers.control === "up-to-date")) {
      throw broken("The up-to-date header and the last message do not agree")
    }
    this.responses.push(response)
    this.isUpToDate = isUpToDate
    this.position = {
      offset,
      handle,
      cursor: response.headers.get("electric-cursor") ?? this.position.cursor
    }
  }

  private apply(message: LogMessage, broken: (what: string) => Error): Operation | undefined {
    const { key, headers } = message
    const value = message.value ?? {}
    const { operation } = headers
    if (operation === undefined || key === undefined) return undefined
    const known = this.rows.get(key)
    if (this.isComplete) {
      if (operation === "insert" && known !== undefined) throw broken(`${key} is inserted twice`)
      if (operation !== "insert" && known === undefined) throw broken(`${key} is not there: ${operation}`)
    }
    if (operation === "update" && this.options.changesOnly === true) {
      if (Object.entries(value).every(([name, text]) => known?.[name] === text))
        throw broken(`${key} is updated without a change`)
    }
    if (operation === "delete") this.rows.delete(key)
    else this.rows.set(key, { ...known, ...value })

    if (headers.lsn === undefined || headers.op_position === undefined) return undefined
    const next: Operation = {
      lsn: BigInt(headers.lsn),
      position: headers.op_position,
      operation,
      key,
      value,
      isLast: headers.last === true
    }
    const previous = this.operations.at(-1)
    if (previous !== undefined) {
      if (next.lsn < previous.lsn || (next.lsn === previous.lsn && next.position <= previous.position)) {
        throw broken(`${next.lsn}_${next.position} comes after ${previous.lsn}_${previous.position}`)
      }
      if (next.lsn === previous.lsn && previous.isLast)
        throw broken(`Transaction ${next.lsn} goes on after its last change`)
      if (next.lsn !== previous.lsn && !previous.isLast)
        throw broken(`Transaction ${previous.lsn} has no last change`)
    }
    this.operations.push(next)
    return next
  }
}
