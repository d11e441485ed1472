/**
 * Those who want to be told of something. They are told at once, in the order in which they subscribed, and must not
 * throw: others are told after them.
 */
export class Listeners<Told extends ReadonlyArray<unknown>> {
  private readonly listeners = new Set<{ readonly hear: (...told: Told) => void }>()

  /** Returns what ends the subscription. */
  subscribe(hear: (...told: Told) => void): () => void {
    const listener = { hear }
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  tell(...told: Told): void {
    for (const { hear } of this.listeners) hear(...told)
  }
}
