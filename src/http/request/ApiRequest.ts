import { type Effect, Schema } from "effect"

/** The body is larger than the API reads. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {}) {}

/** The body could not be read to its end. */
export class BodyUnreadable extends Schema.TaggedError<BodyUnreadable>()("BodyUnreadable", {}) {}

/**
 * Somebody read the body before us, and did not hand over what they read: nothing about the request can be answered. A
 * mistake in the program that Baton is part of.
 */
export class BodyTaken extends Schema.TaggedError<BodyTaken>()("BodyTaken", {
  /** For the author of the client: what to do. */
  advice: Schema.String
}) {}

/** A request as plain data, whatever server it came in through. */
export interface ApiRequest {
  readonly method: string
  /** Path and query as the client sent them, undecoded, without the prefix under which the API is mounted. */
  readonly target: string
  /** Value of a header, by lower-case name. */
  readonly header: (name: string) => string | undefined
  /** All headers, lower-case names. Only made when somebody asks (the authorisation hook). */
  readonly headers: () => Readonly<Record<string, string>>
  /** Reads the body. `arrived` is told of pieces as they come, where the server hands them out one by one. */
  readonly body: (
    maxBytes: number,
    arrived?: (bytes: number) => void
  ) => Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable | BodyTaken>
}
