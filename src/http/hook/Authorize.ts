import { type Effect, Schema } from "effect"
import type { ReadPosition, ShapeSelection } from "../request/ShapeParams.ts"

/** The host does not let this client read this. The body is sent as it is, with a JSON content type unless `headers` has one. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  /**
   * 401: who are you; 403: not for you; 404: there is no such thing, as far as you are concerned; 429, 503: not now, with
   * `retry-after`. Any from 400 to 599 but 409, which tells clients to fetch everything again. Electric's clients end with
   * an error for 4xx other than 429, and try again by themselves for 429 and 5xx.
   */
  status: Schema.Number,
  /** JSON text. */
  body: Schema.String,
  /** Such as `www-authenticate` and `retry-after`. Those of framing (`content-length` and the like) are Baton's. */
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
}) {
  /** A refusal with the body `{"message": …}`. */
  static because(status: number, message: string, headers?: Readonly<Record<string, string>>): Refused {
    return new Refused({
      status,
      body: JSON.stringify({ message }),
      ...(headers === undefined ? {} : { headers })
    })
  }
}

/** A value of `$1`, `$2` … as a hook may write it; numbers and booleans mean their text. */
export type HookParameter = string | number | bigint | boolean

/** The shape that a hook answers with. */
export interface AuthorizedShape extends Omit<ShapeSelection, "params"> {
  /** Values of `$1`, `$2` … in `where`, by number or as a list. */
  readonly params?: Readonly<Record<string, HookParameter>> | ReadonlyArray<HookParameter> | undefined
}

/** What an authorisation hook sees of a request. */
export interface AuthorizeRequest {
  readonly method: string
  /** Path and query as the client sent them. */
  readonly url: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** The shape that the client asks for, from query and body together. */
  readonly shape: ShapeSelection
  readonly handle: string | undefined
  /** Undefined for a DELETE. */
  readonly position: ReadPosition | undefined
  readonly live: boolean
  /** The client asks for a subset of the shape; its conditions can only narrow what `where` allows. */
  readonly subset: boolean
  /** Query and body parameters as they came, decoded, for parameters of the host's own. */
  readonly parameters: Readonly<Record<string, unknown>>
}

/**
 * Decides who may read what. Answers with the shape that is to be served, the client's own
 * (`Effect.succeed(request.shape)`) or another one, or fails with `Refused`. Runs before anything is looked up.
 */
export type Authorize<R = never> = (request: AuthorizeRequest) => Effect.Effect<AuthorizedShape, Refused, R>
