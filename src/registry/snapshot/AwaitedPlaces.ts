import { Effect, type Scope } from "effect"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import type { Timers } from "../../shared/Timers.ts"
import { type Place, SessionPlaces } from "./SessionPlaces.ts"
import { placeLookMillis } from "../RegistryTimings.ts"

interface AwaitedPlacesOptions {
  readonly size: number
  /** How many of them subset queries may have. */
  readonly subsets: number
  /** A query is long from then on: it may be ended for others. */
  readonly longMillis: number
  /** A query that has waited for so long fails. */
  readonly waitMillis: number
}

/** `SessionPlaces` for fibers: each waits for its place, and while one does long queries are asked to end. */
export class AwaitedPlaces {
  private readonly options: AwaitedPlacesOptions
  private readonly timers: Timers
  private readonly places: SessionPlaces
  private isLooking = false

  constructor(options: AwaitedPlacesOptions, timers: Timers) {
    this.options = options
    this.timers = timers
    this.places = new SessionPlaces({ ...options, now: timers.nowMillis })
  }

  /** A place until the scope closes. Fails with `pool_timeout`. */
  hold(shape: string | undefined): Effect.Effect<Place, PgError, Scope.Scope> {
    return Effect.acquireRelease(this.wait(shape), (place) => Effect.sync(() => this.places.release(place)), {
      interruptible: true
    })
  }

  private wait(shape: string | undefined): Effect.Effect<Place, PgError> {
    return Effect.suspend(() => {
      let place: Place | undefined
      let stopTimer: (() => void) | undefined
      return Effect.callback<Place, PgError>((resume) => {
        const withdraw = this.places.take(shape, (granted) => {
          stopTimer?.()
          place = granted
          resume(Effect.succeed(granted))
        })
        if (place !== undefined) return undefined
        const { size, subsets, waitMillis } = this.options
        stopTimer = this.timers.after(waitMillis, () => {
          withdraw()
          resume(Effect.fail(poolTimeout(waitMillis, shape === undefined ? size : subsets)))
        })
        this.lookSoon()
        return Effect.sync(() => {
          stopTimer?.()
          withdraw()
        })
      }).pipe(
        // Given just when its wish was withdrawn.
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            if (place !== undefined) this.places.release(place)
          })
        )
      )
    })
  }

  private lookSoon(): void {
    if (!this.isLooking) this.timers.after(placeLookMillis, () => this.look(), "aside")
    this.isLooking = true
  }

  private look(): void {
    this.isLooking = false
    this.places.makeRoom()
    if (this.places.isAwaited) this.lookSoon()
  }
}

const poolTimeout = (millis: number, size: number): PgError =>
  ownPgError(
    "pool_timeout",
    `None of the ${size} database connections for snapshots became free within ${millis / 1000} s. This heals when ` +
      "running queries end. Raise ELECTRIC_DB_POOL_SIZE, or give slow snapshot queries an index."
  )
