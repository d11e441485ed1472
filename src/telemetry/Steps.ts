/** How long each step of something took, for one line of the log: `claim 1.2, read 0.4 ms`. */
export class Steps {
  private readonly nowMillis: () => number
  readonly taken: Array<{ readonly name: string; readonly millis: number }> = []
  private since: number

  constructor(nowMillis: () => number) {
    this.nowMillis = nowMillis
    this.since = nowMillis()
  }

  /** The first step begins now, and not when this was made. */
  begin(): void {
    this.since = this.nowMillis()
  }

  /** The step of that name ends now. */
  done(name: string): void {
    const now = this.nowMillis()
    this.taken.push({ name, millis: now - this.since })
    this.since = now
  }

  toString(): string {
    return `${this.taken.map(({ millis, name }) => `${name} ${millis.toFixed(1)}`).join(", ")} ms`
  }
}
