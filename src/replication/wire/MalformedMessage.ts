import { Data } from "effect"

/**
 * The replication stream holds bytes that are no valid pgoutput message, or one that cannot come at this point.
 * Reading it again gives the same bytes, so this does not heal by itself: the slot has to be rebuilt, or something
 * between us and Postgres (a proxy) does not pass the stream through unchanged.
 */
export class MalformedMessage extends Data.TaggedError("MalformedMessage")<{
  /** Type byte of the message as a character, or what was being read when there is none. */
  readonly kind: string
  readonly why: string
}> {
  override get message(): string {
    return `Cannot read the replication stream: ${this.why} (message ${this.kind}).`
  }
}

/** What carries the messages is no valid message itself. */
export const malformedCopyData = (why: string): never => {
  throw new MalformedMessage({ kind: "CopyData", why })
}

export const tooShort = (kind: string) => new MalformedMessage({ kind, why: "it ends too early" })

/** The content that begins at `at` is exactly `bytes` long. */
export const exactly = (bytes: number, at: number, end: number, kind: string): void => {
  if (end - at < bytes) throw tooShort(kind)
  atEnd(at + bytes, end, kind)
}

export const atEnd = (at: number, end: number, kind: string): void => {
  if (at !== end) throw new MalformedMessage({ kind, why: "it is longer than its content" })
}

/** One transaction is larger than the configured limit; the stream cannot get past it. */
export class TransactionTooLarge extends Data.TaggedError("TransactionTooLarge")<{
  readonly limitBytes: number
  readonly xid: number
}> {
  override get message(): string {
    return `Transaction ${this.xid} exceeds the limit of ${this.limitBytes} bytes.`
  }
}
