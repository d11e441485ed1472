import { Context, Effect, Layer, Metric, type Scope } from "effect"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import type { OtlpConfig } from "../config/OtlpConfig.ts"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import type { DistributionCounts } from "../telemetry/Distribution.ts"
import type { ExportOptions } from "../telemetry/otel/ExportOptions.ts"
import { exporting } from "../telemetry/otel/OtlpLayers.ts"
import { dottedName } from "./ElectricFamilies.ts"
import { metricValues } from "./MetricsFamilies.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues, Sample } from "./MetricsText.ts"

/** Figures are never older than this when they are exported. */
const longestRefreshMillis = 10_000

/** As metrics of Effect have it. Smallest and largest value are not known of what other processes have counted. */
const histogramOf = ({ bounds, counts, sum }: DistributionCounts): Metric.HistogramState => {
  let count = 0
  const buckets = bounds.map((bound, i): [number, number] => [bound, (count += counts[i] ?? 0)])
  const known = { buckets, count: count + (counts[bounds.length] ?? 0), sum }
  return known as unknown as Metric.HistogramState
}

interface Series {
  sample: Sample
  readonly remove: () => void
}

/** The figures of the page, as metrics in a registry that nobody else writes to. */
export class ExportedRegistry {
  readonly context = Context.make(Metric.MetricRegistry, new Map())
  private readonly series = new Map<string, Series>()

  /** From now on these are the figures; a series that is not among them is gone. */
  set(values: ReadonlyArray<MetricValues>): void {
    const seen = new Set<string>()
    for (const metric of values)
      for (const sample of metric.samples) {
        const key = `${metric.name} ${JSON.stringify(sample.labels ?? {})}`
        seen.add(key)
        const known = this.series.get(key)
        if (known === undefined) this.series.set(key, this.register(metric, sample, key))
        else known.sample = sample
      }
    for (const [key, { remove }] of this.series) {
      if (seen.has(key)) continue
      remove()
      this.series.delete(key)
    }
  }

  private register({ help, name, type }: MetricValues, sample: Sample, key: string): Series {
    const options = { description: help, attributes: sample.labels ?? {} }
    const now = () => this.series.get(key)?.sample ?? sample
    const value = () => {
      const found = now()
      return "value" in found ? found.value : 0
    }
    const hooks = { update: () => {}, modify: () => {} }
    const { context } = this
    if ("distribution" in sample) {
      const boundaries = sample.distribution.bounds
      const { remove } = Metric.registerUnsafe(
        Metric.histogram(dottedName(name), { ...options, boundaries }),
        context,
        {
          ...hooks,
          get: () => {
            const found = now()
            return histogramOf("distribution" in found ? found.distribution : sample.distribution)
          }
        }
      )
      return { sample, remove }
    }
    const { remove } =
      type === "counter"
        ? Metric.registerUnsafe(
            Metric.counter(dottedName(name), { ...options, incremental: true }),
            context,
            {
              ...hooks,
              get: () => ({ count: value(), incremental: true })
            }
          )
        : Metric.registerUnsafe(Metric.gauge(dottedName(name), options), context, {
            ...hooks,
            get: () => ({ value: value() })
          })
    return { sample, remove }
  }
}

/** Exports all figures of the page over OTLP, for as long as the scope. */
export const exportMetrics = (
  url: string,
  otlp: OtlpConfig,
  options: ExportOptions,
  snapshot: Effect.Effect<MetricsSnapshot>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const exported = new ExportedRegistry()
    const refresh = Effect.map(snapshot, (taken) => exported.set(metricValues(taken)))
    yield* startDuty(
      duties.exportedMetrics,
      Effect.forever(
        Effect.andThen(refresh, Effect.sleep(Math.min(otlp.metricsMillis, longestRefreshMillis)))
      )
    )
    const exporter = OtlpMetrics.make({ url, ...options, exportInterval: otlp.metricsMillis })
    yield* Layer.build(
      Layer.provide(Layer.effectDiscard(exporter), [exporting(otlp), Layer.succeedContext(exported.context)])
    )
  })
