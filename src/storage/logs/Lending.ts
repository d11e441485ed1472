/** Memory that readers hold on to while they are sent from it: somebody who stops reading keeps it until the send time-out. */
const mostLentBytes = 64 << 20

/**
 * Memory of the journal that readers are sent from as it stands there, where it never changes: a large row has many readers, and a
 * copy for each costs more than all the rest. What they keep altogether is bounded; beyond that they are sent copies.
 */
export class Lending {
  private readonly isLasting: (bytes: Buffer) => boolean
  private readonly users = new Map<ArrayBufferLike, number>()
  private lentBytes = 0

  /** `isLasting`: nobody will ever write to the memory of these bytes. */
  constructor(isLasting: (bytes: Buffer) => boolean) {
    this.isLasting = isLasting
  }

  /** Whether the bytes may be sent as they are. Then `back` has to be called once they are needed no more. */
  lend(bytes: Buffer): boolean {
    if (!this.isLasting(bytes)) return false
    const { buffer: memory } = bytes
    const users = this.users.get(memory) ?? 0
    if (users === 0) {
      if (this.lentBytes + memory.byteLength > mostLentBytes) return false
      this.lentBytes += memory.byteLength
    }
    this.users.set(memory, users + 1)
    return true
  }

  back({ buffer: memory }: Buffer): void {
    const users = this.users.get(memory) ?? 0
    if (users > 1) return void this.users.set(memory, users - 1)
    this.users.delete(memory)
    this.lentBytes -= memory.byteLength
  }
}
