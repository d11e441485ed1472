/** Those who wait for a look at the journal that begins after they asked. They stay through a takeover. */
export class Askers {
  private waiting: Array<() => void> = []

  get count(): number {
    return this.waiting.length
  }

  ask(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve))
  }

  /** Those who asked first, as many as had asked when the look began. */
  answer(count: number): void {
    for (const resolve of this.waiting.splice(0, count)) resolve()
  }

  answerAll(): void {
    this.answer(this.waiting.length)
  }
}
