import { Context, Effect, Layer } from "effect"
import { Config } from "../config/BatonConfig.ts"
import type { TableInfo } from "../postgres/TableInfo.ts"
import type { PgError } from "../postgres/PgError.ts"
import { AdminPool } from "../postgres/Pools.ts"

export class Publication extends Context.Service<
  Publication,
  {
    readonly ensureExists: Effect.Effect<{ created: boolean }, PgError>
    readonly ensureTable: (t: TableInfo) => Effect.Effect<void, PgError>
  }
>()("shim/Publication") {
  static readonly layer = Layer.effect(
    Publication,
    Effect.gen(function* () {
      const admin = yield* AdminPool
      const config = yield* Config
      return Publication.of({
        ensureExists: Effect.gen(function* () {
          const rows = yield* admin.query("select 1 from pg_publication where pubname=$1", [
            config.publicationName
          ])
          if (rows.length > 0) return { created: false }
          yield* admin.query(`create publication "${config.publicationName}"`)
          return { created: true }
        }),
        ensureTable: (t) =>
          Effect.gen(function* () {
            yield* admin
              .query(`alter publication "${config.publicationName}" add table "${t.schema}"."${t.name}"`)
              .pipe(Effect.ignore)
            yield* admin.query(`alter table "${t.schema}"."${t.name}" replica identity full`)
          })
      })
    })
  )
}
