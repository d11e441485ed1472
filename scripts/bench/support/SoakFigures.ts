import type { Figure } from "./Benchmark.ts"
import type { LoopDelay } from "./loopProbe.ts"
import type { Plot } from "./Plot.ts"
import { median } from "./Statistics.ts"
import { type Trend, trendOf } from "./Trend.ts"

/** How the service was at one moment of a long run. */
export interface Sample {
  readonly minutes: number
  readonly rss: number
  readonly files: number
  readonly disk: number
  /** Of the last five seconds. */
  readonly delay: LoopDelay
  readonly retainedWal: number
  /** Row changes written so far. */
  readonly changes: number
  /** Processor time since the sample before, as a share of one core. */
  readonly cpuShare: number
}

export const megabytes = (bytes: number): number => bytes / 1e6

/** Flat: what is added in the time that counts is a small share of the level, or little in itself. */
const verdict = (trend: Trend, share: number, absolute: number): string =>
  trend.growth <= share || trend.growth * trend.level <= absolute ? "flat" : "GROWS"

const figure = (what: string, unit: string, trend: Trend, share: number, absolute: number): Figure => ({
  what: `${what}: ${verdict(trend, share, absolute)}`,
  unit,
  runs: [trend.level],
  note: `${trend.perHour >= 0 ? "+" : ""}${trend.perHour.toPrecision(2)} ${unit} per hour`,
  aim: "flat"
})

/** As many as a plot can show. */
const thinned = (samples: ReadonlyArray<Sample>): ReadonlyArray<Sample> => {
  const every = Math.max(1, Math.ceil(samples.length / 150))
  return samples.filter((_, i) => i % every === 0)
}

const plotOf = (
  samples: ReadonlyArray<Sample>,
  name: string,
  title: string,
  label: string,
  lines: ReadonlyArray<readonly [string, (sample: Sample) => number]>
): Plot => ({
  name,
  title,
  x: { label: "minutes" },
  y: { label },
  lines: lines.map(([line, pick]) => ({
    name: line,
    points: thinned(samples).map((sample) => [sample.minutes, pick(sample)] as const)
  }))
})

/** Whether what should stay as it is did, and how it went. */
export const soakFigures = (
  samples: ReadonlyArray<Sample>,
  everySeconds: number
): { readonly figures: ReadonlyArray<Figure>; readonly plots: ReadonlyArray<Plot> } => {
  const of = (pick: (sample: Sample) => number): Trend => trendOf(samples.map(pick), everySeconds)
  const disk = of((sample) => megabytes(sample.disk))
  const highest = samples.map((sample) => sample.delay.maxMillis)
  const last = samples.at(-1)
  return {
    figures: [
      figure(
        "RSS",
        "MB",
        of((sample) => megabytes(sample.rss)),
        0.1,
        5
      ),
      figure(
        "heap in use after a whole collection",
        "MB",
        of((sample) => megabytes(sample.delay.keptBytes ?? 0)),
        0.1,
        5
      ),
      figure(
        "open files",
        "",
        of((sample) => sample.files),
        0.05,
        5
      ),
      figure(
        "event-loop delay, p99 of five seconds",
        "ms",
        of((sample) => sample.delay.p99Millis),
        0.5,
        3
      ),
      figure(
        "WAL that the slot retains",
        "MB",
        of((sample) => megabytes(sample.retainedWal)),
        0.5,
        1
      ),
      figure(
        "processor time, share of a core",
        "%",
        of((sample) => 100 * sample.cpuShare),
        0.2,
        2
      ),
      figure("disk", "MB", disk, 0.15, 5),
      {
        what: "disk, of which each change has left",
        unit: "bytes/change",
        runs: [
          ((last?.disk ?? 0) - (samples[0]?.disk ?? 0)) /
            Math.max(1, (last?.changes ?? 0) - (samples[0]?.changes ?? 0))
        ]
      },
      {
        what: "changes written",
        unit: "/s",
        runs: [(last?.changes ?? 0) / Math.max(1, (last?.minutes ?? 0) * 60)]
      },
      {
        what: "event-loop delay, highest",
        unit: "ms",
        runs: [Math.max(...highest)],
        note: `median of the highest in five seconds ${median(highest).toFixed(1)} ms`
      }
    ],
    plots: [
      plotOf(samples, "soak-memory", "Memory under mixed load", "MB", [
        ["RSS", (sample) => megabytes(sample.rss)],
        ["heap", (sample) => megabytes(sample.delay.heapBytes ?? 0)],
        ["heap in use after a whole collection", (sample) => megabytes(sample.delay.keptBytes ?? 0)],
        ["outside of the heap", (sample) => megabytes(sample.delay.externalBytes ?? 0)]
      ]),
      plotOf(samples, "soak-files", "Open files under mixed load", "files", [
        ["open files", (sample) => sample.files]
      ]),
      plotOf(samples, "soak-disk", "Disk under mixed load", "MB", [
        ["disk", (sample) => megabytes(sample.disk)]
      ]),
      plotOf(samples, "soak-delay", "Event-loop delay under mixed load, of five seconds each", "ms", [
        ["p99", (sample) => sample.delay.p99Millis],
        ["p50", (sample) => sample.delay.p50Millis]
      ])
    ]
  }
}
