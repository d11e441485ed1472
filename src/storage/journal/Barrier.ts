interface Place {
  readonly segment: number
  readonly position: number
}

const isBefore = (a: Place, b: Place): boolean =>
  a.segment < b.segment || (a.segment === b.segment && a.position < b.position)

/**
 * Up to where others may be shown what a writer has written and what does not count yet. Changes are shown at once: Postgres sends
 * them again, with the same offsets, if they are lost. A shape that was made, and whatever else the stream would not bring about once
 * more, holds back itself and all that follows until it counts.
 */
export class Barrier {
  private written: Place
  /** Records that hold back, in their order, each with the marker at its end. */
  private holding: Array<Place & { readonly marker: number }> = []
  /** Those before it count. */
  private first = 0

  constructor(segment: number) {
    this.written = { segment, position: 0 }
  }

  add(segment: number, position: number, marker: number): void {
    this.holding.push({ segment, position, marker })
  }

  /** The file of the segment holds everything up to there, and those before it are whole. */
  wrote(segment: number, position: number): void {
    this.written = { segment, position }
  }

  /** Records up to the marker count. True when more may be shown than before. */
  counts(marker: number): boolean {
    const before = this.first
    while ((this.holding[this.first]?.marker ?? Infinity) <= marker) this.first++
    if (this.first === before) return false
    if (this.first === this.holding.length) this.holding = []
    else if (this.first > 1000) this.holding = this.holding.slice(this.first)
    else return true
    this.first = 0
    return true
  }

  get showable(): Place {
    const held = this.holding[this.first]
    return held !== undefined && isBefore(held, this.written)
      ? { segment: held.segment, position: held.position }
      : this.written
  }
}
