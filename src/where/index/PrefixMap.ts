import { spend } from "../values/Work.ts"
import type { Compiled } from "../evaluate/Compile.ts"
import { CellMap, type Cell } from "./Cell.ts"
import { addUnit, HashFilter, hashOf, hashOfNothing } from "./HashFilter.ts"

const nothing: ReadonlyArray<number | Cell | undefined> = []
/** With fewer keys each look is as quick as asking first whether it is worth it. */
const fewKeys = 256

/**
 * Cells by what a text begins with: one look for each length that these beginnings have. Nearly all looks find nothing, and in a
 * large map each is several reads of memory that is in no cache: a small filter is asked first.
 */
export class PrefixMap extends CellMap {
  /** By length: how many keys have it. */
  private readonly counts: Array<number> = []
  /** The lengths that some key has. */
  private lengths: ReadonlyArray<number> = []
  private filter: HashFilter | undefined
  /** Keys whose hashes are in the filter, and that are gone. */
  private stale = 0

  override add(
    key: string,
    id: number,
    exact: boolean,
    compiled: Compiled,
    constants: ReadonlyArray<unknown>
  ): void {
    const before = this.size
    super.add(key, id, exact, compiled, constants)
    if (this.size === before) return
    this.count(key.length, 1)
    if (this.size + this.stale > (this.filter?.capacity ?? fewKeys)) this.filterAnew()
    else this.filter?.add(hashOf(key))
  }

  override remove(key: string, id: number, exact: boolean, compiled: Compiled): void {
    const before = this.size
    super.remove(key, id, exact, compiled)
    if (this.size === before) return
    this.count(key.length, -1)
    if (this.filter === undefined) return
    this.stale++
    if (this.stale > this.size + fewKeys) this.filterAnew()
  }

  private filterAnew(): void {
    this.stale = 0
    this.filter = this.size > fewKeys ? new HashFilter(2 * this.size) : undefined
    if (this.filter === undefined) return
    for (const key of this.otherKeys()) this.filter.add(hashOf(key as string))
  }

  private count(length: number, by: 1 | -1): void {
    const before = this.counts[length] ?? 0
    this.counts[length] = before + by
    if (before === 0 || before + by === 0)
      this.lengths = Array.from(this.counts.keys()).filter((one) => (this.counts[one] ?? 0) > 0)
  }

  /** The cells of all keys that the text begins with. */
  find(text: string): ReadonlyArray<number | Cell | undefined> {
    const { filter } = this
    let found: Array<number | Cell | undefined> | undefined
    let hash = hashOfNothing
    let at = 0
    for (const length of this.lengths) {
      if (length > text.length) break
      spend(1 + (length >> 3))
      if (filter !== undefined) {
        for (; at < length; at++) hash = addUnit(hash, text.charCodeAt(at))
        if (!filter.mayHave(hash)) continue
      }
      const cell = this.get(text.slice(0, length))
      if (cell !== undefined) (found ??= []).push(cell)
    }
    return found ?? nothing
  }
}
