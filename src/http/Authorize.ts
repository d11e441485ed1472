import { type Effect, Schema } from "effect"
import type { ReadPosition, ShapeSelection } from "./ShapeParams.ts"

/** The host does not let this client read this. The body is sent as it is, with a JSON content type. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  /** 401: who are you; 403: not for you. */
  status: Schema.Literals([401, 403]),
  /** JSON text. */
  body: Schema.String
}) {
  /** A refusal with the body `{"message": …}`. */
  static because(status: 401 | 403, message: string): Refused {
    return new Refused({ status, body: JSON.stringify({ message }) })
  }
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
export type Authorize<R = never> = (request: AuthorizeRequest) => Effect.Effect<ShapeSelection, Refused, R>
