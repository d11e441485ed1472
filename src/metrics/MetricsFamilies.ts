import { ownLevels } from "../storage/levels/Levels.ts"
import { healthStates } from "../health/HealthState.ts"
import { countsOf } from "../telemetry/Distribution.ts"
import { dropReasons } from "../telemetry/DropReason.ts"
import { counted } from "../telemetry/Metrics.ts"
import { bucketFamilies } from "./BucketFamilies.ts"
import { comparisonFamilies } from "./ComparisonFamilies.ts"
import { electricFamilies } from "./ElectricFamilies.ts"
import { gauge, kept, live, type MetricFamily, one, perProcess } from "./MetricFamily.ts"
import { faultFamilies } from "./FaultFamilies.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues } from "./MetricsText.ts"
import { processFamilies } from "./ProcessFamilies.ts"
import { progressFamilies } from "./ProgressFamilies.ts"
import { sourceFamilies } from "./SourceFamilies.ts"
import { storageFamilies } from "./StorageFamilies.ts"

const ownFamilies: ReadonlyArray<MetricFamily> = [
  live({
    name: "baton_info",
    type: "gauge",
    help: "Always 1.",
    labels: ["version", "instance_id"],
    samples: ({ version, instanceId }) => [{ labels: { version, instance_id: instanceId }, value: 1 }]
  }),
  live({
    name: "baton_state",
    type: "gauge",
    help: "1 for the state of this instance, 0 for the others.",
    labels: ["state"],
    samples: ({ state: current }) =>
      healthStates.map((state) => ({ labels: { state }, value: state === current ? 1 : 0 }))
  }),
  live(
    gauge(
      "baton_epoch",
      "The epoch of storage that is written or followed: one more at each takeover.",
      ({ epoch }) => epoch
    )
  ),
  kept(counted.takeovers, "counter", ({ metrics }) => one(metrics.takeovers.value().count)),
  kept(counted.takeoverSeconds, "histogram", ({ metrics }) => [
    { distribution: countsOf(metrics.takeoverSeconds.value()) }
  ]),
  live(
    gauge(
      "baton_storage_level",
      "Level of what is stored: releases that do not know it cannot take over any more.",
      ({ storageLevel }) => storageLevel
    )
  ),
  live(
    gauge(
      "baton_storage_newest_level",
      "Level that storage gets when it is finalised for this release.",
      () => ownLevels.newest
    )
  ),
  kept(counted.servingLag, "histogram", ({ metrics }) => [{ distribution: metrics.servingLag.seconds }]),
  kept(counted.servingLagClamped, "counter", ({ metrics }) => one(metrics.servingLag.clamped)),
  kept(
    counted.dropped({}),
    "counter",
    ({ metrics }) => dropReasons.map((reason) => ({ labels: { reason }, value: metrics.dropped[reason] })),
    ["reason"]
  ),
  kept(
    counted.resets({}),
    "counter",
    ({ metrics }) => dropReasons.map((reason) => ({ labels: { reason }, value: metrics.resets[reason] })),
    ["reason"]
  ),
  live(
    gauge(
      "baton_snapshots_running",
      "Shapes whose first rows are being read.",
      ({ snapshots }) => snapshots.running
    )
  ),
  live(
    gauge(
      "baton_snapshots_oldest_seconds",
      "For how long the one of them that began first has been read; 0 when there is none.",
      ({ snapshots }) => snapshots.oldestSeconds
    )
  ),
  kept(counted.snapshotBytes, "counter", ({ metrics }) => one(metrics.snapshots.bytes)),
  perProcess(
    "baton_follower_lag_bytes",
    "gauge",
    "Bytes of the journal that a process has not read yet. Absent where it is written.",
    ({ followerLagBytes }) => followerLagBytes
  ),
  kept(counted.failedSnapshots, "counter", ({ metrics }) => one(metrics.failedSnapshots.value().count)),
  kept(counted.rowsDecidedByPostgres, "counter", ({ metrics }) =>
    one(metrics.rowsDecidedByPostgres.value().count)
  ),
  live(
    gauge(
      "baton_dormant_shapes",
      "Shapes that nobody has read for `BATON_SHAPE_DORMANT_AFTER` here, or since the start, and that the next request wakes.",
      ({ dormantShapes }) => dormantShapes
    )
  ),
  live(
    gauge(
      "baton_subselect_shapes",
      "Shapes whose conditions have sub-selects.",
      ({ subselects }) => subselects.shapes
    )
  ),
  live(
    gauge(
      "baton_subselect_behind_bytes",
      "Bytes of WAL that other shapes are ahead of them, while rows are read that enter or leave. 0 as a rule.",
      ({ subselects }) => subselects.behindBytes
    )
  )
]

export const metricFamilies: ReadonlyArray<MetricFamily> = [
  ...electricFamilies,
  ...ownFamilies,
  ...comparisonFamilies,
  ...progressFamilies,
  ...sourceFamilies,
  ...storageFamilies,
  ...processFamilies,
  ...faultFamilies,
  ...bucketFamilies
]

export const metricValues = (snapshot: MetricsSnapshot): ReadonlyArray<MetricValues> =>
  metricFamilies.map((family) => ({ ...family, samples: family.samples(snapshot) }))
