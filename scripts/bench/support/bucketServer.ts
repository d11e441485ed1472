import { type FakeS3, startFakeS3 } from "../../../testing/bucket/FakeS3.ts"
import type { TurnedOn } from "../../../testing/bucket/BucketFaults.ts"

/**
 * A store with the S3 API as a process of its own, so that what it costs is not taken for what the service costs. It counts what it
 * is asked, and answers as late as it is told to.
 */
export type BucketCommand =
  | { readonly _tag: "Counts"; readonly startAgain: boolean }
  /** Every request is answered so much later: what creates an object, and all others. */
  | { readonly _tag: "Delay"; readonly createMillis: number; readonly otherMillis: number }

export interface BucketCounts {
  readonly create: number
  readonly createdBytes: number
  readonly read: number
  readonly readBytes: number
  readonly list: number
  readonly remove: number
  readonly objects: number
}

export interface BucketReady {
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
}

const counts = ({ counter, objects }: FakeS3): BucketCounts => ({
  create: counter.create.requests,
  createdBytes: counter.create.bytes,
  read: counter.read.requests,
  readBytes: counter.read.bytes,
  list: counter.list.requests,
  remove: counter.remove.requests,
  objects: objects.stored.size
})

const startAgain = ({ counter }: FakeS3): void => {
  for (const kind of [counter.create, counter.read, counter.list, counter.remove, counter.probe]) {
    kind.requests = 0
    kind.bytes = 0
  }
}

const fake = await startFakeS3()
let delays: ReadonlyArray<TurnedOn> = []

const delayed = (createMillis: number, otherMillis: number): ReadonlyArray<TurnedOn> => [
  ...(createMillis > 0
    ? [fake.faults.add({ _tag: "Delay", millis: createMillis }, { operation: "create" })]
    : []),
  ...(otherMillis > 0
    ? (["read", "list", "remove"] as const).map((operation) =>
        fake.faults.add({ _tag: "Delay", millis: otherMillis }, { operation })
      )
    : [])
]

process.on("message", (command: BucketCommand) => {
  if (command._tag === "Counts") {
    process.send?.(counts(fake))
    if (command.startAgain) startAgain(fake)
    return
  }
  for (const delay of delays) delay.end()
  delays = delayed(command.createMillis, command.otherMillis)
  process.send?.({ done: true })
})
const ready: BucketReady = { port: Number(new URL(fake.endpoint).port), environment: fake.environment() }
process.send?.(ready)
