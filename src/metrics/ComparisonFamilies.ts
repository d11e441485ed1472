import { ComparisonCounts, countedComparisons, labelledComparisons } from "../telemetry/ComparisonCounts.ts"
import { kept, type MetricFamily, one } from "./MetricFamily.ts"

const labelled = labelledComparisons(new ComparisonCounts()).map(([metric, label], i) =>
  kept(
    metric({}),
    "counter",
    ({ metrics }) => {
      const numbers = labelledComparisons(metrics.comparisons)[i]?.[2] ?? {}
      return Object.entries<number>(numbers).map(([key, value]) => ({ labels: { [label]: key }, value }))
    },
    [label]
  )
)

/** Of comparisons of shapes with the database: repairs, and those that an operator has asked for. */
export const comparisonFamilies: ReadonlyArray<MetricFamily> = [
  ...labelled,
  kept(countedComparisons.repairSeconds, "histogram", ({ metrics }) => [
    { distribution: metrics.comparisons.repairSeconds }
  ]),
  kept(countedComparisons.repairRows, "counter", ({ metrics }) => one(metrics.comparisons.repairRows)),
  kept(countedComparisons.verifySeconds, "histogram", ({ metrics }) => [
    { distribution: metrics.comparisons.verifySeconds }
  ]),
  kept(countedComparisons.verifiedRows, "counter", ({ metrics }) => one(metrics.comparisons.verifiedRows))
]
