import { Effect } from "effect"
import { lookAtAncestors } from "../postgres/catalogue/AncestorsLook.ts"
import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import type { PgError } from "../postgres/errors/PgError.ts"
import type { Relation } from "../postgres/Relation.ts"
import type { Described } from "../registry/routing/RouterOptions.ts"
import type { Lsn } from "../shared/Lsn.ts"
import type { CatalogueAhead } from "./duties/CatalogueAhead.ts"
import { untilShown } from "./UntilShown.ts"

/** Each look of a transaction is about so many times as many tables as the one before: most change one, some change all. */
const growth = 16

/**
 * The tables above those that the stream describes. A transaction may be the first to change thousands of them, and waits for every
 * answer, so what is asked about one table is asked about those that may come next. The answers count for that transaction: all
 * that it was written under had been committed before the first of them was asked for.
 */
export class Ancestry {
  private readonly admin: Queryable
  private readonly inspector: Pick<Inspector["Service"], "invalidate" | "rememberedByOid" | "tableByOid">
  private readonly ahead: Pick<CatalogueAhead, "answer">
  private at: Lsn | undefined
  private answers = new Map<number, ReadonlyArray<number>>()
  private about = 1

  constructor(services: {
    readonly admin: Queryable
    readonly inspector: Pick<Inspector["Service"], "invalidate" | "rememberedByOid" | "tableByOid">
    readonly ahead: Pick<CatalogueAhead, "answer">
  }) {
    this.admin = services.admin
    this.inspector = services.inspector
    this.ahead = services.ahead
  }

  /** As the catalogue has them now, or had them when it was looked ahead, or earlier in this transaction. */
  of(oid: number, described?: Described): Effect.Effect<ReadonlyArray<number>, PgError> {
    return Effect.suspend(() => {
      const known = this.ahead.answer(oid)
      if (known !== undefined) return Effect.andThen(known, this.read(oid))
      if (described === undefined) return this.readAgain(oid)
      const answer = this.answerFor(described)
      if (answer !== undefined) return this.unlessAltered(described.relation, answer)
      return Effect.flatMap(this.look(oid, described), (found) =>
        this.unlessAltered(described.relation, found)
      )
    })
  }

  private answerFor({ commitLsn, relation }: Described): ReadonlyArray<number> | undefined {
    if (this.at === commitLsn) return this.answers.get(relation.oid)
    this.at = commitLsn
    this.answers = new Map()
    this.about = 1
    return undefined
  }

  private look(oid: number, { others, xid }: Described): Effect.Effect<ReadonlyArray<number>, PgError> {
    const oids = new Set([oid])
    if (this.about > 1)
      for (const other of others()) {
        if (oids.size >= this.about) break
        if (!this.answers.has(other)) oids.add(other)
      }
    this.about *= growth
    const { answers } = this
    // Else a partition that the transaction has made itself would be none.
    return Effect.map(untilShown(xid, lookAtAncestors(this.admin, oids)), ({ ancestors }) => {
      for (const asked of oids) answers.set(asked, ancestors.get(asked) ?? none)
      return ancestors.get(oid) ?? none
    })
  }

  /**
   * A table that is not what was known of it is asked about wholly, so that all learn of it. So is one above that has a partition which
   * it had not: others may have gone with their rows, of which no change tells, in the transaction that this partition came with.
   */
  private unlessAltered(
    relation: Relation,
    ancestors: ReadonlyArray<number>
  ): Effect.Effect<ReadonlyArray<number>, PgError> {
    const { inspector } = this
    const known = inspector.rememberedByOid(relation.oid)
    if (known !== undefined && !isAs(known, relation, ancestors)) return this.readAgain(relation.oid)
    const outdated = ancestors.filter(
      (oid) => inspector.rememberedByOid(oid)?.leafOids.includes(relation.oid) === false
    )
    for (const oid of outdated) inspector.invalidate(oid)
    return Effect.as(
      Effect.forEach(outdated, (oid) => inspector.tableByOid(oid), { discard: true }),
      ancestors
    )
  }

  private readAgain(oid: number): Effect.Effect<ReadonlyArray<number>, PgError> {
    this.inspector.invalidate(oid)
    return this.read(oid)
  }

  private read(oid: number): Effect.Effect<ReadonlyArray<number>, PgError> {
    return Effect.map(this.inspector.tableByOid(oid), (table) => table?.ancestorOids ?? none)
  }
}

const none: ReadonlyArray<number> = []

/** The stream may leave generated columns out, or not. */
const isAs = (known: TableInfo, relation: Relation, ancestors: ReadonlyArray<number>): boolean =>
  known.schema === relation.schema &&
  known.name === relation.name &&
  known.ancestorOids.length === ancestors.length &&
  known.ancestorOids.every((oid, i) => oid === ancestors[i]) &&
  (hasColumns(known.columns, relation) ||
    hasColumns(
      known.columns.filter(({ generated }) => generated === "no"),
      relation
    ))

const hasColumns = (known: TableInfo["columns"], { columns }: Relation): boolean =>
  known.length === columns.length &&
  known.every(({ name, typeModifier, typeOid }, i) => {
    const column = columns[i]
    return column?.name === name && column.typeOid === typeOid && column.typeModifier === typeModifier
  })
