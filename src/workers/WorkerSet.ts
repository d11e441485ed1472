import { Effect, Option } from "effect"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"
import { RequestCounts } from "../telemetry/RequestCounts.ts"
import type { WorkerLink } from "./WorkerLink.ts"
import type { ToWorker } from "./WorkerProtocol.ts"

/** What workers that are gone had last reported. */
interface Retired {
  readonly requests: RequestCounts
  readonly rejected: Record<"initial" | "existing", number>
}

/** The workers that there are now, and what is left of those that there were. */
export class WorkerSet {
  readonly retired: Retired = { requests: new RequestCounts(), rejected: { initial: 0, existing: 0 } }
  restarts = 0
  isDraining = false
  /** Workers that are started from now on would be of another release. */
  filesReplaced = false
  private readonly links = new Set<WorkerLink>()

  add(link: WorkerLink): void {
    this.links.add(link)
  }

  retire(link: WorkerLink): void {
    this.links.delete(link)
    const last = link.lastReport
    if (last === undefined) return
    this.retired.requests.addAll(last.requests)
    for (const kind of ["initial", "existing"] as const)
      this.retired.rejected[kind] += last.admission[kind].rejected
  }

  broadcast(message: ToWorker): void {
    for (const link of this.links) link.send(message)
  }

  /** It answers requests from now on. */
  ready(link: WorkerLink): void {
    link.isReady = true
    if (this.isDraining) link.send({ _tag: "Drain" })
  }

  /** Requests in progress, as far as workers that drain have told. */
  running(): number {
    let sum = 0
    for (const link of this.links) sum += link.running
    return sum
  }

  countReady(): number {
    return [...this.links].filter((link) => link.isReady).length
  }

  beginDrain(): void {
    this.isDraining = true
    // Until a worker has said how many requests it has, it may have some.
    for (const link of this.links) if (link.isReady) link.running = Math.max(link.running, 1)
    this.broadcast({ _tag: "Drain" })
  }

  /** Of those that answer in time. */
  readonly reports: Effect.Effect<ReadonlyArray<ProcessReport>> = Effect.suspend(() =>
    Effect.all(
      [...this.links].map((link) => link.report),
      { concurrency: "unbounded" }
    )
  ).pipe(Effect.map((reports) => reports.flatMap(Option.toArray)))

  /** How many requests of all workers wait for a change of each of these shapes. */
  readersOf(shapes: Uint32Array): Effect.Effect<Uint32Array> {
    return Effect.map(
      Effect.all(
        [...this.links].map((link) => link.readersOf(shapes)),
        { concurrency: "unbounded" }
      ),
      (answers) => {
        const sums = new Uint32Array(shapes.length)
        for (const counts of answers.flatMap(Option.toArray))
          for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (counts[i] ?? 0)
        return sums
      }
    )
  }
}
