import { Context } from "effect"

export type StatsdTags = Readonly<Record<string, string>>

/** What takes metrics for StatsD. Nothing of it waits, or fails. */
export interface StatsdSender {
  readonly count: (name: string, by: number, tags?: StatsdTags) => void
  readonly gauge: (name: string, value: number, tags?: StatsdTags) => void
  readonly distribution: (name: string, value: number, tags?: StatsdTags) => void
}

/** Undefined where nothing is sent. */
export const Statsd = Context.Reference<StatsdSender | undefined>("baton/telemetry/Statsd", {
  defaultValue: () => undefined
})
