import { Deferred, Effect } from "effect"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { bodyTooSlow, tooManyBodies, type Failure } from "./Failures.ts"

interface OpenBody {
  bytes: number
  readonly refused: Deferred.Deferred<never, Failure>
}

/**
 * Request bodies on their way here. They are counted apart from requests that run, so a client that sends slowly takes no
 * request's place; and their time, their number and what has arrived of them are bounded. Above the bounds the ones that
 * take most give way, not those that come: an ordinary body is there within milliseconds, and never the one that has been
 * on its way for longest, or the largest.
 */
export class OpenBodies {
  private readonly limits: Limits
  /** In the order in which they began. */
  private readonly open = new Set<OpenBody>()
  private heldBytes = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Bodies that are being read, and what has arrived of them. */
  held(): { readonly bodies: number; readonly bytes: number } {
    return { bodies: this.open.size, bytes: this.heldBytes }
  }

  /** Reads a body; `receive` has to tell of all bytes as they arrive. */
  read<A, E>(
    receive: (arrived: (bytes: number) => void) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Failure> {
    return Effect.suspend(() => {
      const { bodyMillis, openBodies } = this.limits
      const body: OpenBody = { bytes: 0, refused: Deferred.makeUnsafe<never, Failure>() }
      for (const oldest of this.open) {
        if (this.open.size < openBodies) break
        this.refuse(oldest, "openBodies")
      }
      this.open.add(body)
      const received = Effect.timeoutOrElse(
        receive((bytes) => this.grow(body, bytes)),
        {
          duration: bodyMillis,
          orElse: () => Effect.fail(bodyTooSlow(aboveLimit("bodyMillis", this.limits)))
        }
      )
      return Effect.ensuring(
        Effect.raceFirst(received, Deferred.await(body.refused)),
        Effect.sync(() => this.remove(body))
      )
    })
  }

  private grow(body: OpenBody, bytes: number): void {
    if (!this.open.has(body)) return
    body.bytes += bytes
    this.heldBytes += bytes
    while (this.heldBytes > this.limits.openBodyBytes) this.refuse(this.largest(body), "openBodyBytes")
  }

  private largest(found: OpenBody): OpenBody {
    for (const body of this.open) if (body.bytes > found.bytes) found = body
    return found
  }

  private refuse(body: OpenBody, limit: "openBodies" | "openBodyBytes"): void {
    this.remove(body)
    Deferred.doneUnsafe(body.refused, Effect.fail(tooManyBodies(aboveLimit(limit, this.limits))))
  }

  private remove(body: OpenBody): void {
    if (!this.open.delete(body)) return
    this.heldBytes -= body.bytes
  }
}
