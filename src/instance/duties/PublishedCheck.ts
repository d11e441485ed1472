import { Deferred, Effect } from "effect"
import type { KnownPublished } from "../../postgres/catalogue/CatalogueLook.ts"
import {
  lacksChanges,
  lostBetween,
  type LostTable,
  missedBetween,
  presentSql,
  type Published,
  type PublishedBefore,
  publishedBefore,
  publishedIn,
  type PublishedRow,
  publishedSql
} from "../../postgres/catalogue/PublishedLook.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { LaneOptions } from "../../registry/moves/LaneOptions.ts"
import type { RouterOptions } from "../../registry/routing/RouterOptions.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { untilAnswered } from "../StreamQuestions.ts"

interface PublishedCheckOptions {
  readonly admin: Queryable
  readonly publicationName: string
  readonly serverVersionNum: () => number
  readonly record: KnownPublished
}

/** A look, and how tables were published before it. */
interface Look {
  readonly before: PublishedBefore
  readonly now: Published
}

/** A look that was begun before the stream. */
interface EarlyLook {
  /** The WAL had been written up to here before it began. */
  readonly lsn: Lsn
  /** `undefined` when there was no answer. */
  readonly answer: Deferred.Deferred<Look | undefined>
}

const lacking = ownPgError(
  "transaction_conflict",
  "The publication lacks changes at the moment. When it is in order again all shapes are compared with the database."
)

/** Those of the tables that have not just been dropped: such a table costs its own shapes, which its watch sees to. */
const stillThere = (
  lost: ReadonlyArray<LostTable>,
  ask: (sql: string) => Effect.Effect<ReadonlyArray<string | null | undefined>, PgError>
): Effect.Effect<ReadonlyArray<LostTable>, PgError> =>
  lost.length === 0
    ? Effect.succeed(lost)
    : Effect.map(ask(presentSql(lost)), (oids) => lost.filter(({ oid }) => oids.includes(String(oid))))

/**
 * Whether the publication has lacked changes of tables in use since it was last looked at. Where it has, that is told, and what
 * asks never completes: the session ends.
 */
export class PublishedCheck {
  private readonly options: PublishedCheckOptions
  private early: EarlyLook | undefined

  constructor(options: PublishedCheckOptions) {
    this.options = options
  }

  private get sql(): string {
    const { publicationName, serverVersionNum } = this.options
    return publishedSql(publicationName, serverVersionNum())
  }

  private look(tables: Parameters<typeof publishedBefore>[1]): Effect.Effect<Look, PgError> {
    return Effect.suspend(() => {
      const before = publishedBefore(this.options.record, tables)
      const asked = this.options.admin.query<PublishedRow>(this.sql, [], "kept")
      return Effect.map(asked, ([row]) => ({ before, now: publishedIn(row) }))
    })
  }

  /**
   * Looks for transactions that were committed before `lsn`, which the WAL has reached already: at a takeover most that come
   * first, and to ask just then would take a connection that is in use. Who calls this has it `ask`ed, and `giveUp` in the end,
   * whatever happens: the stream waits for the answer.
   */
  lookAhead(
    tables: Parameters<typeof publishedBefore>[1],
    lsn: Lsn | undefined
  ): { readonly ask: Effect.Effect<void>; readonly giveUp: Effect.Effect<void> } {
    const answer = Deferred.makeUnsafe<Look | undefined>()
    this.early = lsn === undefined ? undefined : { lsn, answer }
    const asked = Effect.catch(this.look(tables), () => Effect.succeed(undefined))
    return {
      ask: Effect.flatMap(asked, (look) => Effect.asVoid(Deferred.succeed(answer, look))),
      giveUp: Effect.asVoid(Deferred.succeed(answer, undefined))
    }
  }

  /** The answer to the early question, if it is one about transactions that were committed when this one was. */
  private lookedAhead(commitLsn: Lsn): Effect.Effect<Look | undefined> {
    const { early } = this
    if (early === undefined) return Effect.succeed(undefined)
    if (commitLsn < early.lsn) return Deferred.await(early.answer)
    this.early = undefined
    // Its connection is the one that there is.
    return Effect.as(Deferred.await(early.answer), undefined)
  }

  /** Before a change that may stand behind missing ones is given to anybody. */
  readonly beforeChange =
    (positionLost: (reason: string) => void): RouterOptions["published"] =>
    (shapes, commitLsn) =>
      Effect.gen({ self: this }, function* () {
        if (shapes.isEmpty) return
        const early = yield* this.lookedAhead(commitLsn)
        const look = early ?? (yield* untilAnswered("the publication", this.look(shapes.tables())))
        const asked = stillThere(lostBetween(look.before, look.now), (sql) =>
          Effect.map(this.options.admin.query<{ readonly oid: string }>(sql), (rows) =>
            rows.map(({ oid }) => oid)
          )
        )
        const lost = yield* untilAnswered("the catalogue", asked)
        const missed = missedBetween(look.before, look.now, lost)
        if (missed !== undefined) yield* this.tell(missed, positionLost)
      })

  /** Before anything is made of rows that a snapshot shows, and of what the stream has brought: may the stream lack some of them? */
  readonly inSnapshot =
    (positionLost: (reason: string) => void): LaneOptions["published"] =>
    (tables) => {
      const before = publishedBefore(this.options.record, tables)
      return (session) =>
        Effect.gen({ self: this }, function* () {
          const [rows] = yield* session.run(this.sql)
          const [publication, members] = rows?.[0] ?? []
          const row = publication == null ? undefined : { publication, members: members ?? "" }
          const now = publishedIn(row)
          const lost = yield* stillThere(lostBetween(before, now), (sql) =>
            Effect.map(session.run(sql), ([found]) => (found ?? []).map(([oid]) => oid))
          )
          const missed = missedBetween(before, now, lost)
          if (missed !== undefined) yield* this.tell(missed, positionLost)
          if (lacksChanges(before, now)) yield* Effect.fail(lacking)
        })
    }

  private tell(missed: string, positionLost: (reason: string) => void): Effect.Effect<never> {
    return reportFault(
      "BATON-PUBLICATION-ALTERED",
      `Changes may be missing from the stream: ${missed}. All shapes are compared with the database now.`
    ).pipe(Effect.andThen(Effect.sync(() => positionLost(missed))), Effect.andThen(Effect.never))
  }
}
