/** Room for so many bytes of buffers at a time. Who asks for more than there is in all gets it alone. */
export class ByteBudget {
  private readonly bytes: number
  private taken = 0
  private readonly waiting: Array<{ readonly bytes: number; readonly begin: () => void }> = []

  constructor(bytes: number) {
    this.bytes = bytes
  }

  /** Does work that needs so much, in the order of the asking. */
  async during<A>(bytes: number, work: () => Promise<A>): Promise<A> {
    const share = Math.min(bytes, this.bytes)
    if (this.waiting.length > 0 || this.taken + share > this.bytes)
      await new Promise<void>((begin) => this.waiting.push({ bytes: share, begin }))
    else this.taken += share
    try {
      return await work()
    } finally {
      this.taken -= share
      this.letIn()
    }
  }

  private letIn(): void {
    for (;;) {
      const [next] = this.waiting
      if (next === undefined || this.taken + next.bytes > this.bytes) return
      this.waiting.shift()
      this.taken += next.bytes
      next.begin()
    }
  }
}
