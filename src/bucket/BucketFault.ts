import { Data } from "effect"

/** What was asked of the bucket. */
export type BucketOperation = "create" | "read" | "list" | "remove" | "probe"

/** What is wrong, as far as the answer tells. */
export type BucketFaultKind =
  /** Nobody answers, or the connection was lost. */
  | "unreachable"
  /** No answer within the time allowed; what was asked may have been done all the same. */
  | "timedOut"
  /** The store asks to be asked less often. */
  | "throttled"
  /** The store has failed: 5xx, or two creates at once that it does not tell apart (409). */
  | "failing"
  /** The access key is not known, or the signature is wrong. */
  | "wrongKey"
  /** The bucket is in another region. */
  | "wrongRegion"
  /** This machine's clock and that of the store differ by more than a signature allows. */
  | "clockSkew"
  | "noBucket"
  /** The key may not do this. */
  | "denied"
  /** Two creates of one key have both succeeded, or the condition is not known: it cannot be used. */
  | "unsafe"
  /** Anything else that is answered. */
  | "refused"

/** Whether the same may succeed later without anybody's doing, and what an operator can do. */
const meanings: Readonly<Record<BucketFaultKind, { readonly passing: boolean; readonly advice: string }>> = {
  unreachable: {
    passing: true,
    advice: "it goes on once the bucket answers; check BATON_BUCKET_ENDPOINT and the network if it never does"
  },
  timedOut: { passing: true, advice: "it goes on once the bucket answers in time" },
  throttled: { passing: true, advice: "it goes on by itself; a longer BATON_BUCKET_FLUSH asks less often" },
  failing: { passing: true, advice: "it goes on once the store works again" },
  wrongKey: {
    passing: false,
    advice: "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
  },
  wrongRegion: { passing: false, advice: "set BATON_BUCKET_REGION to the region of the bucket" },
  clockSkew: { passing: true, advice: "set this machine's clock; it goes on then" },
  noBucket: { passing: false, advice: "create the bucket, or correct BATON_BUCKET" },
  denied: {
    passing: false,
    advice:
      "give the key, or for a directory the user of the service, the permissions that docs/bucket.md lists"
  },
  unsafe: {
    passing: false,
    advice: "use a store that honours If-None-Match on PUT: docs/bucket.md lists those that do"
  },
  refused: { passing: false, advice: "look up what the store says" }
}

/** A bucket has refused something, or could not be asked. With `passing` the same may succeed later without anybody's doing. */
export class BucketFault extends Data.TaggedError("BucketFault")<{
  readonly operation: BucketOperation
  /** The key or prefix, with the name of the bucket before it. */
  readonly object: string
  readonly kind: BucketFaultKind
  /** What the store has said, or what the connection has failed with; without secrets. */
  readonly said: string
  readonly cause?: unknown
}> {
  get passing(): boolean {
    return meanings[this.kind].passing
  }

  /** What an operator can do, or what it waits for. */
  get advice(): string {
    return meanings[this.kind].advice
  }

  override get message(): string {
    return `cannot ${this.operation} ${this.object}: ${this.said} (${this.advice})`
  }

  override toString(): string {
    return this.message
  }
}
