import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import type { RouteTarget } from "./TableRoute.ts"

/**
 * What is asked when the stream describes a table, before its first change: the catalogue may have become another one, and of some of that
 * no description and no change tells.
 */
export class Descriptions {
  private readonly options: Pick<RouterOptions, "described" | "published" | "shapes">
  private checkedLsn: Lsn | undefined

  constructor(options: Pick<RouterOptions, "described" | "published" | "shapes">) {
    this.options = options
  }

  /** Postgres describes a table again whenever its publication was altered. One look serves all tables of a transaction. */
  published(commitLsn: Lsn): Effect.Effect<void> | undefined {
    const { published, shapes } = this.options
    if (this.checkedLsn === commitLsn) return undefined
    return Effect.map(published(shapes, commitLsn), () => {
      this.checkedLsn = commitLsn
    })
  }

  /** See `RouterOptions.described`. */
  rewritten(oids: ReadonlyArray<number>, commitLsn: Lsn, xid: number): Effect.Effect<void> | undefined {
    const { described, shapes } = this.options
    return described?.(shapes, oids, commitLsn, xid)
  }

  /** Of a table that is described as it was before. */
  again(targets: ReadonlyArray<RouteTarget>, commitLsn: Lsn, xid: number): Effect.Effect<void> | undefined {
    const checked = this.published(commitLsn)
    const oids = targets.map(({ tableOid }) => tableOid)
    const looked = this.rewritten(oids, commitLsn, xid)
    return checked === undefined || looked === undefined
      ? (checked ?? looked)
      : Effect.andThen(checked, looked)
  }
}
