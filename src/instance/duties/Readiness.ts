import { Effect } from "effect"
import { duties } from "../../health/Duties.ts"
import type { PreparedRoutes } from "../../registry/routing/PreparedRoutes.ts"
import { duty } from "../../shared/Duty.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { loadParser } from "../../where/index.ts"
import { preparingMillis } from "./DutyTimings.ts"
import { hasConditions, type Warmth } from "./Warmth.ts"

/** What can be done for a takeover before there is one. Never ends: where it fails, the takeover does the work. */
export const keepReady = (
  engine: StorageEngine,
  routes: PreparedRoutes,
  warmth: Warmth["Service"]
): Effect.Effect<never> => {
  const prepare = Effect.suspend(() => routes.prepare(engine.store))
  const work = Effect.all(
    [
      warmth.keep,
      Effect.suspend(() => (hasConditions(engine) ? loadParser : Effect.void)),
      Effect.forever(Effect.andThen(prepare, Effect.sleep(preparingMillis)))
    ],
    { concurrency: "unbounded" }
  )
  return Effect.andThen(duty(duties.readiness, work), Effect.never)
}
