import { spend } from "../values/Work.ts"
import type { Compiled } from "../evaluate/Compile.ts"
import { CellMap, type Cell } from "./Cell.ts"

const nothing: ReadonlyArray<number | Cell | undefined> = []

/** Cells by what a text begins with: one look for each length that these beginnings have. */
export class PrefixMap extends CellMap {
  /** By length: how many keys have it. */
  private readonly counts: Array<number> = []
  /** The lengths that some key has. */
  private lengths: ReadonlyArray<number> = []

  override add(
    key: string,
    id: number,
    exact: boolean,
    compiled: Compiled,
    constants: ReadonlyArray<unknown>
  ): void {
    const before = this.size
    super.add(key, id, exact, compiled, constants)
    if (this.size !== before) this.count(key.length, 1)
  }

  override remove(key: string, id: number, exact: boolean, compiled: Compiled): void {
    const before = this.size
    super.remove(key, id, exact, compiled)
    if (this.size !== before) this.count(key.length, -1)
  }

  private count(length: number, by: 1 | -1): void {
    const before = this.counts[length] ?? 0
    this.counts[length] = before + by
    if (before === 0 || before + by === 0)
      this.lengths = Array.from(this.counts.keys()).filter((one) => (this.counts[one] ?? 0) > 0)
  }

  /** The cells of all keys that the text begins with. */
  find(text: string): ReadonlyArray<number | Cell | undefined> {
    let found: Array<number | Cell | undefined> | undefined
    for (const length of this.lengths) {
      if (length > text.length) break
      spend(1 + (length >> 3))
      const cell = this.get(text.slice(0, length))
      if (cell !== undefined) (found ??= []).push(cell)
    }
    return found ?? nothing
  }
}
