import type { MetricEvents } from "../../telemetry/MetricEvents.ts"

interface Written {
  readonly marker: number
  readonly operations: number
  readonly committedMillis: number
}

/** Transactions that are written and not durable yet, of which somebody wants to know when they are. */
export class StoredTransactions {
  private readonly events: Pick<MetricEvents, "stored">
  private readonly epochMillis: () => number
  private written: Array<Written> = []
  private durableMarker = 0

  constructor(events: Pick<MetricEvents, "stored">, epochMillis: () => number) {
    this.events = events
    this.epochMillis = epochMillis
  }

  /** `marker`: of the journal, behind it. One that is below those before is another writer's. */
  wrote(marker: number, operations: number, committedMillis: number): void {
    if (marker < (this.written.at(-1)?.marker ?? this.durableMarker)) {
      this.written = []
      this.durableMarker = 0
    }
    this.written.push({ marker, operations, committedMillis })
  }

  durable(marker: number): void {
    let count = 0
    for (const { committedMillis, marker: end, operations } of this.written) {
      if (end > marker) break
      count++
      const lagMillis = Math.max(0, this.epochMillis() - committedMillis)
      this.events.stored(operations, Math.max(0, end - this.durableMarker), lagMillis)
      this.durableMarker = end
    }
    this.written.splice(0, count)
  }
}
