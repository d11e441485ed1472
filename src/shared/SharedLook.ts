/**
 * A question that many ask at once, and whose answer must not be older than the asking: those who ask while it is being
 * answered share the next answer.
 */
export class SharedLook {
  private readonly look: () => Promise<boolean>
  private current: Promise<boolean> | undefined
  private next: Promise<boolean> | undefined

  constructor(look: () => Promise<boolean>) {
    this.look = look
  }

  ask(): Promise<boolean> {
    if (this.current === undefined) return this.begin()
    this.next ??= this.current
      .catch(() => false)
      .then(() => {
        this.next = undefined
        return this.begin()
      })
    return this.next
  }

  private begin(): Promise<boolean> {
    const done = this.look().finally(() => {
      if (this.current === done) this.current = undefined
    })
    this.current = done
    return done
  }
}
