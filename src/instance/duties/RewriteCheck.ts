import { Deferred, Effect } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import { lookAtMembers } from "../../postgres/catalogue/MembersLook.ts"
import {
  alteredAmong,
  type ColumnsLook,
  hasOtherColumns,
  lookAtColumns,
  mayHaveOtherValues,
  type StoredForm
} from "../../postgres/catalogue/RewriteLook.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { RouterOptions } from "../../registry/routing/RouterOptions.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { untilAnswered } from "../StreamQuestions.ts"
import { isShown, untilShown } from "../UntilShown.ts"
import type { CatalogueRecord } from "./CatalogueRecord.ts"
import type { TableNews } from "./TableNews.ts"

interface RewriteCheckOptions {
  readonly admin: Queryable
  readonly publicationName: string
  readonly serverVersionNum: () => number
  readonly record: Pick<CatalogueRecord, "awaits" | "storedOf">
  readonly inspector: Pick<Inspector["Service"], "invalidate" | "tableByOid">
}

/** A look that was begun before the stream. */
interface EarlyLook {
  /** The WAL had been written up to here before it began. */
  readonly lsn: Lsn
  /** `undefined` when there was no answer. */
  readonly answer: Deferred.Deferred<ColumnsLook | undefined>
}

/** Each look of a transaction is about so many times as many tables as the one before: most change one, some change all. */
const growth = 16
/** More would take longer than the question about the few that change first. */
const mostTablesAhead = 2048

/**
 * Whether a table was altered in such a way that its rows have other values than the stream has told of. Postgres describes a table
 * again before the first change behind that, and nothing of what it says differs. Shapes that were given such a change before they
 * are compared with the database would get rows anew that they have.
 */
export class RewriteCheck {
  private readonly options: RewriteCheckOptions
  private early: EarlyLook | undefined
  private listening = Deferred.makeUnsafe<Pick<TableNews, "rewritten">>()
  private at: Lsn | undefined
  private readonly asked = new Set<number>()
  private about = 1

  constructor(options: RewriteCheckOptions) {
    this.options = options
  }

  /** A session begins, of which nobody looks after its tables yet. */
  begin(): void {
    this.listening = Deferred.makeUnsafe()
    this.at = undefined
  }

  /** From now on this takes care of what is found, and of what the inspector finds to be another one. */
  hears(news: Pick<TableNews, "rewritten">): void {
    Deferred.doneUnsafe(this.listening, Effect.succeed(news))
  }

  /** As `PublishedCheck.lookAhead`. */
  lookAhead(
    tables: Iterable<number>,
    lsn: Lsn | undefined
  ): { readonly ask: Effect.Effect<void>; readonly giveUp: Effect.Effect<void> } {
    const answer = Deferred.makeUnsafe<ColumnsLook | undefined>()
    this.early = lsn === undefined ? undefined : { lsn, answer }
    const ask = Effect.suspend(() => {
      const oids = this.known(tables).slice(0, mostTablesAhead)
      return oids.length === 0 ? Effect.undefined : lookAtColumns(this.options.admin, oids)
    })
    return {
      ask: Effect.flatMap(
        Effect.catch(ask, () => Effect.undefined),
        (look) => Effect.asVoid(Deferred.succeed(answer, look))
      ),
      giveUp: Effect.asVoid(Deferred.succeed(answer, undefined))
    }
  }

  /** Those of which it is known how their rows were stored when shapes had all of their values. */
  private known(oids: Iterable<number>): Array<number> {
    return [...oids].filter((oid) => this.options.record.storedOf(oid) !== undefined)
  }

  /** Completes when shapes that are to be compared are known as such, so that they get nothing more before that. */
  readonly beforeChange: NonNullable<RouterOptions["described"]> = (shapes, oids, commitLsn, xid) => {
    if (this.at !== commitLsn) {
      this.at = commitLsn
      this.asked.clear()
      this.about = 1
    }
    const wanted = this.known(oids).filter((oid) => !this.asked.has(oid))
    if (wanted.length === 0) return undefined
    const asked = Effect.suspend(() => this.askAbout(shapes, wanted, commitLsn, xid))
    return untilAnswered("the catalogue", asked)
  }

  private askAbout(
    shapes: Parameters<NonNullable<RouterOptions["described"]>>[0],
    wanted: ReadonlyArray<number>,
    commitLsn: Lsn,
    xid: number
  ): Effect.Effect<void, PgError> {
    return Effect.gen({ self: this }, function* () {
      const ahead = yield* this.lookedAhead(commitLsn)
      const isAnswer =
        ahead?.shown !== undefined &&
        isShown(xid, ahead.shown) &&
        wanted.every((oid) => ahead.columns.has(oid))
      const looked = () => lookAtColumns(this.options.admin, this.withOthers(shapes, wanted))
      const { columns } = isAnswer ? ahead : yield* untilShown(xid, looked())
      const { storedOf } = this.options.record
      const altered = [...columns.keys()].filter((oid) => {
        const before = storedOf(oid)
        return before !== undefined && hasOtherColumns(before, columns.get(oid))
      })
      if (altered.length > 0) yield* this.take(altered)
      // Not before: what could not be taken care of is asked about again.
      for (const oid of columns.keys()) this.asked.add(oid)
      for (const oid of wanted) this.asked.add(oid)
    })
  }

  private lookedAhead(commitLsn: Lsn): Effect.Effect<ColumnsLook | undefined> {
    const { early } = this
    if (early === undefined) return Effect.undefined
    if (commitLsn < early.lsn) return Deferred.await(early.answer)
    this.early = undefined
    // Its connection is the one that there is.
    return Effect.as(Deferred.await(early.answer), undefined)
  }

  private withOthers(
    shapes: Parameters<NonNullable<RouterOptions["described"]>>[0],
    wanted: ReadonlyArray<number>
  ): ReadonlySet<number> {
    const all = new Set(wanted)
    if (this.about > 1)
      for (const { oid } of shapes.tables()) {
        if (all.size >= this.about) break
        if (!this.asked.has(oid)) all.add(oid)
      }
    this.about *= growth
    return all
  }

  private take(oids: ReadonlyArray<number>): Effect.Effect<void, PgError> {
    const { admin, inspector, publicationName, record, serverVersionNum } = this.options
    return Effect.gen({ self: this }, function* () {
      const news = yield* Deferred.await(this.listening)
      for (const oid of oids) inspector.invalidate(oid)
      yield* Effect.forEach(oids, (oid) => inspector.tableByOid(oid), { discard: true })
      const { tables } = yield* lookAtMembers(admin, publicationName, oids, serverVersionNum())
      const before = new Map<number, StoredForm>()
      for (const [oid, { stored }] of tables) {
        const was = record.storedOf(oid)
        if (was !== undefined && mayHaveOtherValues(was, stored)) before.set(oid, was)
      }
      for (const oid of yield* alteredAmong(admin, before)) {
        const now = tables.get(oid)?.stored
        if (now === undefined) continue
        record.awaits(oid, now)
        news.rewritten(oid)
      }
    })
  }
}
