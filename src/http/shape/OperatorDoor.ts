import { Context, Effect, Layer, type Scope } from "effect"
import type { ReplyBody } from "../reply/ApiReply.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"

/**
 * How a request for operators came: `api`, by the port of the API, where it needs the secret; `metrics`, by the port of metrics,
 * which is not for the world, so only what shows rows or changes something needs the secret; `host`, by way of a program
 * that Baton is part of, which has looked at who asks by itself.
 */
export type OperatorWay = "api" | "metrics" | "host"

export interface OperatorReply {
  readonly status: number
  /** Names (lower case) and values in turn. */
  readonly headers: Array<string>
  readonly body: ReplyBody
}

/** Answers what is asked below `/baton`. Never fails. */
export interface OperatorHandler {
  readonly handle: (request: ApiRequest, way: OperatorWay) => Effect.Effect<OperatorReply>
  /** Ends what goes on without an end, because this process is about to stop. */
  readonly drain: () => void
}

/**
 * Where the page for operators and its API come in, if there are any: what answers stands above everything that it reports on,
 * so it is not there yet when the servers are made.
 */
export class OperatorDoor extends Context.Service<
  OperatorDoor,
  {
    readonly current: () => OperatorHandler | undefined
    /** Answers with this handler for as long as the scope is open. */
    readonly open: (handler: OperatorHandler) => Effect.Effect<void, never, Scope.Scope>
  }
>()("baton/http/OperatorDoor") {
  static readonly layer = Layer.sync(OperatorDoor, () => {
    let current: OperatorHandler | undefined
    return OperatorDoor.of({
      current: () => current,
      open: (handler) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => void (current = handler)),
            () =>
              Effect.sync(() => {
                handler.drain()
                if (current === handler) current = undefined
              })
          )
        )
    })
  })
}
