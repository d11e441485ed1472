import type { LiveReport, ProcessReport } from "../telemetry/ProcessReport.ts"
import type { LiveSnapshot, MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues, Sample } from "./MetricsText.ts"

/** A metric: what it is called and means, and how it comes about. */
export interface MetricFamily extends Omit<MetricValues, "samples"> {
  /** Names of labels beside those of histograms. */
  readonly labels: ReadonlyArray<string>
  readonly samples: (snapshot: MetricsSnapshot) => ReadonlyArray<Sample>
  /** For metrics that the registry of Effect is to have too, and reads when it is asked. What is in `counted` it has. */
  readonly live?: (snapshot: LiveSnapshot) => ReadonlyArray<Sample>
}

export const one = (value: number | undefined): ReadonlyArray<Sample> =>
  value === undefined ? [] : [{ value }]

type Family<S> = Omit<MetricFamily, "samples" | "live"> & {
  readonly samples: (snapshot: S) => ReadonlyArray<Sample>
}

export const live = (family: Family<LiveSnapshot>): MetricFamily => ({ ...family, live: family.samples })

/** A metric that Effect keeps, or reads from plain numbers, under the same name. */
export const kept = (
  { description = "", id }: { readonly id: string; readonly description: string | undefined },
  type: MetricFamily["type"],
  samples: MetricFamily["samples"],
  labels: ReadonlyArray<string> = []
): MetricFamily => ({ name: id, type, help: description, labels, samples })

export const gauge = <S = MetricsSnapshot>(
  name: string,
  help: string,
  value: (snapshot: S) => number | undefined
): Family<S> => ({ name, type: "gauge", help, labels: [], samples: (s) => one(value(s)) })

export const counter = <S = MetricsSnapshot>(
  name: string,
  help: string,
  value: (snapshot: S) => number
): Family<S> => ({
  name,
  type: "counter",
  help,
  labels: [],
  samples: (s) => one(value(s))
})

export const perProcess = <R extends LiveReport = ProcessReport>(
  name: string,
  type: "gauge" | "counter",
  help: string,
  value: (report: R) => number | undefined
): Family<{ readonly processes: ReadonlyArray<R> }> => ({
  name,
  type,
  help,
  labels: ["process"],
  samples: ({ processes }) =>
    processes.flatMap((report) => {
      const found = value(report)
      return found === undefined ? [] : [{ labels: { process: report.process }, value: found }]
    })
})
