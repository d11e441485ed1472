import { unchecked } from "../errors/Unchecked.ts"
import { Effect } from "effect"
import { Inspector } from "./Inspector.ts"
import type { PgError } from "../errors/PgError.ts"

/**
 * Compares every remembered table with the catalogue every `everyMillis`, for ever. What it finds goes
 * to the listeners of `Inspector.onChange`: drops, renames and schema changes that no write has announced yet. While
 * the database is down it waits for the next round.
 */
export const runSchemaReconciler = (everyMillis: number): Effect.Effect<never, never, Inspector> =>
  Effect.gen(function* () {
    const inspector = yield* Inspector
    const round = inspector.refresh.pipe(
      Effect.tap((changes) =>
        changes.length === 0
          ? Effect.void
          : Effect.logInfo(
              `Found ${changes.length} changed table(s) in the catalogue: ${changes
                .map(({ before }) => `${before.schema}.${before.name}`)
                .join(", ")}`
            )
      ),
      Effect.catch((error: PgError) =>
        unchecked(
          error,
          "BATON-TABLE-CHANGED",
          `Comparing known tables with the catalogue failed. ${error.message}`
        )
      )
    )
    return yield* Effect.forever(Effect.delay(round, everyMillis))
  })
