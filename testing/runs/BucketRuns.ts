import type { SharedBucket } from "../bucket/BucketFront.ts"
import { startFakeS3 } from "../bucket/FakeS3.ts"
import { patient } from "../Load.ts"
import type { RequestCounter } from "../bucket/RequestCounter.ts"
import { startMachines } from "../services/Machines.ts"
import { Bucket, bucketHappenings, type BucketKind, bucketKinds } from "./BucketEvents.ts"
import { type HandoverKind, handoverKinds } from "./HandoverEvents.ts"
import { type Happening, type HandoverOptions, type HandoverReport, handoverRuns } from "./HandoverRuns.ts"

export interface BucketOptions extends Pick<
  HandoverOptions,
  | "cluster"
  | "databaseUrl"
  | "streamId"
  | "instances"
  | "clients"
  | "followers"
  | "perSecond"
  | "boundMillis"
  | "segmentBytes"
  | "limitMillis"
  | "compareEvery"
  | "random"
  | "say"
> {
  /** Directories of the machines are made below this one. */
  readonly directory: string
  /** Where their bucket is; closed at the end. Default: an imitation. */
  readonly startBucket?: () => Promise<SharedBucket>
  readonly kinds: ReadonlyArray<HandoverKind | BucketKind>
  /** Milliseconds that each create takes when nothing happens. */
  readonly putMillis: number
  /** How often, of all starts, an instance finds an empty disk. */
  readonly emptyDisks: number
  /** For every instance. */
  readonly env: Readonly<Record<string, string>>
}

/** The name under which an instance goes to the bucket. */
const clientOf = (machine: number) => `machine-${machine}`

/** Clients of HTTP give up after some minutes without an answer. */
const mostHeldMillis = 120_000

const isUsual = (kind: string): kind is HandoverKind => handoverKinds.some((usual) => usual === kind)

/** What was named, if such a thing can happen. */
export const kindNamed = (name: string): HandoverKind | BucketKind => {
  const all = [...handoverKinds, ...bucketKinds]
  const kind = all.find((known) => known === name)
  if (kind === undefined) throw new Error(`${all.join(", ")} can happen; what is ${name}?`)
  return kind
}

/**
 * Handovers of instances that share a bucket and no disk: see `handoverRuns`. First rows are so large that they are files, and a
 * third of the clients keeps to waiting instances.
 */
export const bucketRuns = async (
  options: BucketOptions
): Promise<HandoverReport & { readonly requests: RequestCounter }> => {
  const { directory, env, kinds, putMillis, random, say } = options
  const places = options.instances + 1
  const disks = random.fork()
  const s3 =
    (await options.startBucket?.()) ??
    (await startFakeS3({ clients: Array.from({ length: places }, (_, i) => clientOf(i)) }))
  const machines = await startMachines({
    directory,
    count: places,
    bucket: (machine) => s3.environment("rounds", clientOf(machine)),
    losesDisk: () => disks.chance(options.emptyDisks)
  })
  const scene = { s3, clientOf, machines, random: random.fork(), putMillis, say }
  const happenings = bucketHappenings(scene, new Bucket(scene))
  try {
    const report = await handoverRuns({
      ...options,
      storageDir: directory,
      seenAt: machines.storageDir,
      envOf: (place, port) => ({
        ...machines.env(place, port),
        // Files of shapes are many.
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "50000",
        // Half of it is how long a request waits for what another instance has told its client already: a takeover and more.
        ELECTRIC_LONG_POLL_TIMEOUT: String(Math.min(patient(20_000), mostHeldMillis)),
        ...env
      }),
      kinds: kinds.map((kind): HandoverKind | Happening => (isUsual(kind) ? kind : happenings[kind])),
      shapes: 8,
      rows: 1000,
      readsAtWaiting: true,
      mayBeBehind: true,
      startingLast: true
    })
    return { ...report, requests: s3.counter }
  } finally {
    await machines.close()
    await s3.close()
  }
}
