import type { Lsn } from "../../shared/Lsn.ts"
import { IntTable } from "../../shared/tables/IntTable.ts"
import type { Relation } from "../../postgres/Relation.ts"
import { variantKey, makeWireEncoder, type WireEncoder } from "../../shapes/WireEncoder.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { ForbiddenValues } from "./ForbiddenValues.ts"
import { IdList, type MakeMatcher, type Matcher } from "./Matcher.ts"

/** Shapes whose messages are the same bytes: a change is encoded once for all of them. */
export interface Variant {
  /** No other one of the same target has it. */
  readonly number: number
  readonly encoder: WireEncoder
  /** Scratch lists for the change at hand. */
  readonly inserts: IdList
  readonly updates: IdList
  readonly deletes: IdList
  shapes: number
}

/** The shapes of one table, for rows of one relation (the table itself, or one of its partitions). */
export class RouteTarget {
  readonly tableOid: number
  readonly matcher: Matcher
  /**
   * Shapes of the table that were not made for rows like these. That says nothing about them yet: the relation may be
   * older than they are, and Postgres describes a table again only with its next row.
   */
  readonly misfits = new Set<ShapeState>()
  /** The transaction whose rows the misfits have been told of. */
  misfitsJudgedAt: Lsn = -1n
  private readonly relationColumns: ReadonlyArray<string>
  private readonly relationTypes: ReadonlyArray<number>
  private readonly variants = new Map<string, Variant>()
  /** By their numbers. */
  private readonly numbered: Array<Variant | undefined> = []
  /** The number, and 1, of each shape's variant. */
  private readonly variantOf = new IntTable()
  /** What its rows must not have, as some client was told. */
  readonly forbidden: ForbiddenValues

  constructor(tableOid: number, relation: Relation, makeMatcher: MakeMatcher) {
    this.tableOid = tableOid
    this.relationColumns = relation.columns.map((column) => column.name)
    this.relationTypes = relation.columns.map((column) => column.typeOid)
    this.matcher = makeMatcher(relation.columns)
    this.forbidden = new ForbiddenValues(this.relationColumns)
  }

  /** It was made for rows like these: the same columns of the same types, in the same order. */
  takesRowsOf({ columns }: Relation): boolean {
    return (
      columns.length === this.relationColumns.length &&
      columns.every(
        ({ name, typeOid }, i) => name === this.relationColumns[i] && typeOid === this.relationTypes[i]
      )
    )
  }

  get size(): number {
    return this.variantOf.size
  }

  /** The one variant of all shapes, if there is only one. */
  get onlyVariant(): Variant | undefined {
    if (this.variants.size !== 1) return undefined
    for (const variant of this.variants.values()) return variant
    return undefined
  }

  variant(id: number): Variant | undefined {
    const place = this.variantOf.get(id)
    return place === 0 ? undefined : this.numbered[place - 1]
  }

  /** False when the relation lacks a column of the shape. */
  add(shape: ShapeState): boolean {
    if (this.variantOf.get(shape.id) !== 0) return true
    const key = variantKey(shape.common)
    let variant = this.variants.get(key)
    if (variant === undefined) {
      const encoder = makeWireEncoder(this.relationColumns, shape.common)
      if (encoder === undefined) return false
      variant = this.makeVariant(key, encoder)
    }
    if (!this.matcher.add(shape.id, shape.definition.where)) return false
    variant.shapes++
    this.variantOf.set(shape.id, variant.number + 1)
    this.forbidden.add(shape.common)
    return true
  }

  private makeVariant(key: string, encoder: WireEncoder): Variant {
    const free = this.numbered.indexOf(undefined)
    const variant = {
      number: free < 0 ? this.numbered.length : free,
      encoder,
      inserts: new IdList(),
      updates: new IdList(),
      deletes: new IdList(),
      shapes: 0
    }
    this.variants.set(key, variant)
    this.numbered[variant.number] = variant
    return variant
  }

  remove(shape: ShapeState): void {
    this.misfits.delete(shape)
    const variant = this.variant(shape.id)
    if (variant === undefined) return
    this.variantOf.delete(shape.id)
    this.matcher.remove(shape.id)
    if (--variant.shapes === 0) this.forgetVariant(variant, variantKey(shape.common))
    this.forbidden.remove(shape.common)
  }

  private forgetVariant({ number }: Variant, key: string): void {
    this.variants.delete(key)
    this.numbered[number] = undefined
  }
}

/** Where changes of one relation go. */
export interface TableRoute {
  readonly relation: Relation
  /** The relation's own shapes, then those of the partitioned tables above it. */
  readonly targets: ReadonlyArray<RouteTarget>
}
