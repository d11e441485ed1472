import type { Lsn } from "../../shared/Lsn.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"

interface Failure {
  readonly commitLsn: Lsn
  readonly xid: number
  readonly reason: string
}

/**
 * Reasons to drop a shape that came with a transaction while nobody knew yet whether its snapshot contains that
 * transaction: whether they concern the shape shows when that is known. One for each transaction is enough.
 */
export class EarlyFailures {
  private readonly byShape = new Map<number, Map<Lsn, Failure>>()

  note(id: number, failure: Failure): void {
    const failures = this.byShape.get(id)
    if (failures === undefined) this.byShape.set(id, new Map([[failure.commitLsn, failure]]))
    else failures.set(failure.commitLsn, failure)
  }

  /** The snapshot of a shape is known: the reason from a transaction that is not in it. */
  decide(shape: ShapeState): string | undefined {
    const failures = this.byShape.get(shape.id)
    this.byShape.delete(shape.id)
    for (const { commitLsn, reason, xid } of failures?.values() ?? [])
      if (shape.includes(commitLsn, xid) !== false) return reason
    return undefined
  }

  forget(id: number): void {
    this.byShape.delete(id)
  }
}
