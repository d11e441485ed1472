import type { BucketOperation } from "../../src/bucket/BucketFault.ts"

/** How many requests of each kind a store was sent. */
export class RequestCounter {
  readonly create = { requests: 0, bytes: 0 }
  readonly read = { requests: 0, bytes: 0 }
  readonly list = { requests: 0, bytes: 0 }
  readonly remove = { requests: 0, bytes: 0 }
  readonly probe = { requests: 0, bytes: 0 }

  count(operation: BucketOperation, bytes: number): void {
    this[operation].requests++
    this[operation].bytes += bytes
  }
}
