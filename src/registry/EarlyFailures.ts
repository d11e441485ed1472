import type { Lsn } from "../postgres/Lsn.ts"
import type { ShapeState } from "../storage/ShapeState.ts"

interface Failure {
  readonly commitLsn: Lsn
  readonly xid: number
  readonly message: string
}

/**
 * Rows for which the condition of a shape fails while nobody knows yet what its snapshot contains: whether they concern the
 * shape shows when that is known. One for each transaction is enough.
 */
export class EarlyFailures {
  private readonly byShape = new Map<number, Map<Lsn, Failure>>()

  note(id: number, failure: Failure): void {
    const failures = this.byShape.get(id)
    if (failures === undefined) this.byShape.set(id, new Map([[failure.commitLsn, failure]]))
    else failures.set(failure.commitLsn, failure)
  }

  /** The snapshot of a shape is known: what failed that is not in it. */
  decide(shape: ShapeState): string | undefined {
    const failures = this.byShape.get(shape.id)
    this.byShape.delete(shape.id)
    for (const { commitLsn, message, xid } of failures?.values() ?? [])
      if (shape.includes(commitLsn, xid) !== false) return message
    return undefined
  }

  forget(id: number): void {
    this.byShape.delete(id)
  }
}
