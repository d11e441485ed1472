/** `existing`: reads a shape that is known here. `initial`: may have to create one. */
export type AdmissionClass = "initial" | "existing"

/** The right of one request to run. Must be released exactly when the request is over; twice does no harm. */
export interface Permit {
  kind: AdmissionClass
  released: boolean
}

/**
 * Counts running shape requests by class and refuses those above the limit, before any work is done for them.
 * Plain counters: a request is admitted or refused at once, nobody queues.
 */
export class Admission {
  readonly limits: Readonly<Record<AdmissionClass, number>>
  private readonly counts: Record<AdmissionClass, number> = { initial: 0, existing: 0 }
  /** Requests refused since start. */
  readonly rejected: Record<AdmissionClass, number> = { initial: 0, existing: 0 }

  constructor(limits: Readonly<Record<AdmissionClass, number>>) {
    this.limits = limits
  }

  running(kind: AdmissionClass): number {
    return this.counts[kind]
  }

  /** For requests that are over as soon as they have begun. */
  hasRoom(kind: AdmissionClass): boolean {
    return this.counts[kind] < this.limits[kind]
  }

  tryAcquire(kind: AdmissionClass): Permit | undefined {
    if (this.counts[kind] >= this.limits[kind]) {
      this.rejected[kind]++
      return undefined
    }
    this.counts[kind]++
    return { kind, released: false }
  }

  /** Counts an initial request as existing from now on, if there is room; otherwise it stays what it is. */
  promote(permit: Permit): void {
    if (permit.released || permit.kind === "existing") return
    if (this.counts.existing >= this.limits.existing) return
    this.counts.initial--
    this.counts.existing++
    permit.kind = "existing"
  }

  /** A permit in place of this one, which counts as released: its earlier owner no longer releases it. */
  transfer(permit: Permit): Permit {
    if (permit.released) return permit
    permit.released = true
    return { kind: permit.kind, released: false }
  }

  release(permit: Permit): void {
    if (permit.released) return
    permit.released = true
    this.counts[permit.kind]--
  }
}
