import type { RowLayout } from "../folding/RowLayout.ts"
import type { Differences } from "../repair/TableComparison.ts"
import type { RowDifference } from "./VerifyReport.ts"

/** Rows that are named: of one shape, and of all. */
const namedOfShape = 100
const namedOfAll = 1000

type Kind = RowDifference["kind"]

/** A row of which more is to be found out. */
interface NamedRow {
  readonly key: string
  readonly kind: Kind
  readonly columns: ReadonlyArray<string>
}

/** What was found about one shape. */
interface FoundOfShape {
  readonly counts: Record<Kind, number>
  /** Some of the rows. */
  readonly rows: Array<NamedRow>
}

/** Counts what differs and keeps the names of some rows, so that what it takes is bounded. */
export class FoundDifferences implements Differences {
  private readonly byShape = new Map<number, FoundOfShape>()
  private named = 0

  /** Undefined where nothing differs. */
  of(shape: number): FoundOfShape | undefined {
    return this.byShape.get(shape)
  }

  insert(shape: number, _layout: RowLayout, key: string): void {
    this.add(shape, { key, kind: "missing", columns: [] })
  }

  update(shape: number, layout: RowLayout, key: string, old: Uint8Array, row: Uint8Array): void {
    this.add(shape, { key, kind: "differs", columns: layout.differing(old, row) })
  }

  delete(shape: number, _layout: RowLayout, key: string): void {
    this.add(shape, { key, kind: "surplus", columns: [] })
  }

  private add(shape: number, row: NamedRow): void {
    let known = this.byShape.get(shape)
    if (known === undefined) {
      known = { counts: { missing: 0, surplus: 0, differs: 0 }, rows: [] }
      this.byShape.set(shape, known)
    }
    known.counts[row.kind]++
    if (known.rows.length >= namedOfShape || this.named >= namedOfAll) return
    known.rows.push(row)
    this.named++
  }
}
