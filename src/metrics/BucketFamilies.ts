import { bucketSides, requestKinds } from "../bucket/BucketWatch.ts"
import type { BucketReport } from "./BucketReport.ts"
import { gauge, live, type MetricFamily, one } from "./MetricFamily.ts"

type Value = (bucket: BucketReport) => number | undefined

const bucketGauge = (name: string, help: string, value: Value): MetricFamily =>
  live(gauge(name, help, ({ bucket }) => bucket && value(bucket)))

const bucketCounter = (name: string, help: string, value: Value): MetricFamily =>
  live({
    name,
    type: "counter",
    help,
    labels: [],
    samples: ({ bucket }) => one(bucket && value(bucket))
  })

/** Of an instance whose storage stands in a bucket. HTTP workers only fetch files there, which is not counted. */
export const bucketFamilies: ReadonlyArray<MetricFamily> = [
  bucketGauge(
    "baton_bucket_unshipped_bytes",
    "Bytes of the journal that are written here and not in the bucket yet. Nothing of them is acknowledged to Postgres.",
    ({ unshipped }) => unshipped.bytes
  ),
  bucketGauge(
    "baton_bucket_unshipped_seconds",
    "How long the oldest of them has waited.",
    ({ unshipped }) => unshipped.millis / 1000
  ),
  live({
    name: "baton_bucket_failing_seconds",
    type: "gauge",
    help: "For how long nothing has succeeded that was asked of the bucket: creating objects (`write`), everything else (`read`). 0 while it works.",
    labels: ["side"],
    samples: ({ bucket }) =>
      bucket === undefined
        ? []
        : bucketSides.map((side) => ({ labels: { side }, value: bucket.failingMillis[side] / 1000 }))
  }),
  bucketCounter(
    "baton_bucket_objects_created_total",
    "Objects that this instance has created.",
    ({ watch }) => watch.created
  ),
  live({
    name: "baton_bucket_requests_total",
    type: "counter",
    help: "Requests to the bucket. A listing counts once for every thousand objects.",
    labels: ["operation"],
    samples: ({ bucket }) =>
      bucket === undefined
        ? []
        : requestKinds.map((operation) => ({
            labels: { operation },
            value: bucket.watch.requests(operation).asked
          }))
  }),
  live({
    name: "baton_bucket_request_failures_total",
    type: "counter",
    help: "Those that have failed; most are tried again.",
    labels: ["operation"],
    samples: ({ bucket }) =>
      bucket === undefined
        ? []
        : requestKinds.map((operation) => ({
            labels: { operation },
            value: bucket.watch.requests(operation).failed
          }))
  }),
  bucketCounter(
    "baton_bucket_sent_bytes_total",
    "Bytes of objects sent to the bucket, those sent again included.",
    ({ watch }) => watch.sentBytes
  ),
  bucketCounter(
    "baton_bucket_received_bytes_total",
    "Bytes of objects received from it.",
    ({ watch }) => watch.receivedBytes
  ),
  bucketGauge(
    "baton_bucket_cache_bytes",
    "Bytes of copies of shapes' files in the storage directory.",
    ({ cacheBytes }) => cacheBytes
  ),
  gauge(
    "baton_bucket_checkpoint_age_seconds",
    "Since the newest checkpoint got into the bucket, as far as this process has seen it. Absent when it has seen none.",
    ({ bucket }) =>
      bucket?.checkpointAgeMillis === undefined ? undefined : bucket.checkpointAgeMillis / 1000
  ),
  bucketGauge(
    "baton_mirrors_connected",
    "Other instances that are sent what this one writes.",
    ({ mirrors }) => mirrors
  ),
  bucketGauge(
    "baton_tail_alive",
    "1 while the active instance sends what it writes, 0 while changes come through the bucket alone. Absent where it is written.",
    ({ mirror }) => mirror && Number(mirror.isTailAlive)
  ),
  bucketGauge(
    "baton_mirror_behind_seconds",
    "Since this instance last was certain to have everything, from the active instance or the bucket. Absent where it is written.",
    ({ mirror }) => mirror && mirror.behindMillis / 1000
  )
]
