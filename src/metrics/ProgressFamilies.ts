import type { ProgressKind } from "../telemetry/Progress.ts"
import type { MetricFamily } from "./MetricFamily.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"

/** What each kind is called as a label. */
const kinds: Readonly<Record<ProgressKind, string>> = {
  firstRows: "first_rows",
  recovery: "recovery",
  takeover: "takeover",
  repair: "repair",
  verify: "verify"
}

const ofKind = ({ progress }: MetricsSnapshot, kind: string) => progress.filter((task) => task.kind === kind)

/** Of long work under way. */
export const progressFamilies: ReadonlyArray<MetricFamily> = [
  {
    name: "baton_long_work_running",
    type: "gauge",
    help: "Long work under way: first rows of shapes, recovery at a start, takeovers of a journal, repair, comparisons that an operator has asked for.",
    labels: ["kind"],
    samples: (snapshot) =>
      Object.entries(kinds).map(([kind, label]) => ({
        labels: { kind: label },
        value: ofKind(snapshot, kind).length
      }))
  },
  {
    name: "baton_long_work_done_ratio",
    type: "gauge",
    help: "How much is done of the one that began first, from 0 to 1. Absent where there is none, or nobody knows how much it is.",
    labels: ["kind"],
    samples: (snapshot) =>
      Object.entries(kinds).flatMap(([kind, label]) => {
        const [oldest] = ofKind(snapshot, kind)
        const { done = 0, total = 0 } = oldest ?? {}
        return total > 0 ? [{ labels: { kind: label }, value: Math.min(1, done / total) }] : []
      })
  }
]
