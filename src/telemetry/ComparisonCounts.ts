import { Metric } from "effect"
import { Distribution, secondsBounds } from "./Distribution.ts"
import { type DropReason, dropReasonOf, dropReasons } from "./DropReason.ts"

type Attributes = Readonly<Record<string, string>>

const counter = (id: string, description: string) => (attributes: Attributes) =>
  Metric.counter(id, { description, attributes, incremental: true })

/** What is counted of comparisons of shapes with the database, under the names that it has for everybody. */
export const countedComparisons = {
  repairs: counter(
    "baton_repairs_total",
    "How often all shapes were compared with the database, and got what they lacked, because the stream could not go on from what they had."
  ),
  repairSeconds: Metric.histogram("baton_repair_seconds", {
    description: "How long that took: nothing new is served meanwhile, and no shape is made.",
    boundaries: secondsBounds
  }),
  repairRows: counter("baton_repair_rows_total", "Rows of the database that were read for it.")({}),
  repairDifferences: counter(
    "baton_repair_differences_total",
    "Changes that shapes got by it, because they had not come by the stream."
  ),
  repairedShapes: counter(
    "baton_repair_shapes_total",
    "Shapes that were compared and go on, and those that had to be dropped, because they cannot be compared."
  ),
  verifications: counter(
    "baton_verify_runs_total",
    "Comparisons that an operator has asked for (`baton verify`), by how they ended."
  ),
  verifySeconds: Metric.histogram("baton_verify_seconds", {
    description: "How long they took.",
    boundaries: secondsBounds
  }),
  verifiedRows: counter("baton_verify_rows_total", "Rows of the database that were read for them.")({}),
  verifyDifferences: counter(
    "baton_verify_differences_total",
    "Rows of shapes that they have found to be other than Postgres has them. There should be none."
  )
}

const operations = ["insert", "update", "delete"] as const
const fates = ["compared", "dropped"] as const
const endings = ["done", "failed", "stopped"] as const
const kinds = ["missing", "surplus", "differs"] as const

const noneOf = <K extends string>(keys: ReadonlyArray<K>): Record<K, number> =>
  Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>

/** A repair that was done to the end. */
interface DoneRepair {
  /** As the log has it. */
  readonly reason: string
  readonly seconds: number
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly rowsRead: number
  /** That there were before, and are afterwards. */
  readonly shapesBefore: number
  readonly shapes: number
}

/** What comparisons of shapes with the database have come to in one program. */
export class ComparisonCounts {
  readonly repairs = noneOf<DropReason>(dropReasons)
  readonly repairSeconds = new Distribution(secondsBounds)
  repairRows = 0
  readonly repairDifferences = noneOf(operations)
  readonly repairedShapes = noneOf(fates)
  readonly verifications = noneOf(endings)
  readonly verifySeconds = new Distribution(secondsBounds)
  verifiedRows = 0
  readonly verifyDifferences = noneOf(kinds)

  repaired(done: DoneRepair): void {
    this.repairs[dropReasonOf(done.reason)]++
    this.repairSeconds.observe(done.seconds)
    this.repairRows += done.rowsRead
    this.repairDifferences.insert += done.inserts
    this.repairDifferences.update += done.updates
    this.repairDifferences.delete += done.deletes
    this.repairedShapes.compared += done.shapes
    this.repairedShapes.dropped += Math.max(0, done.shapesBefore - done.shapes)
  }
}

/** Counters by a label: the metric, what the label is called, and the numbers. */
export const labelledComparisons = (counts: ComparisonCounts) =>
  [
    [countedComparisons.repairs, "reason", counts.repairs],
    [countedComparisons.repairDifferences, "operation", counts.repairDifferences],
    [countedComparisons.repairedShapes, "result", counts.repairedShapes],
    [countedComparisons.verifications, "result", counts.verifications],
    [countedComparisons.verifyDifferences, "kind", counts.verifyDifferences]
  ] as const
