/**
 * Progress of a snapshot that this process is writing, for readers that follow it. Chunks before `index` are
 * whole; of chunk `index`, `writtenBytes` can be read from its file.
 */
export class RunningSnapshot {
  index = 0
  writtenBytes = 0
  /** The shape's creation is durable, so its handle may be told. */
  readable = false
  /** No more will come, for good or for bad. */
  finished = false
  private listeners: Array<() => void> = []

  /** Resolves at the next progress. Ask before looking, so that none is missed. */
  progress(): Promise<void> {
    return new Promise((resolve) => this.listeners.push(resolve))
  }

  advanced(): void {
    const listeners = this.listeners
    this.listeners = []
    for (const listener of listeners) listener()
  }
}
