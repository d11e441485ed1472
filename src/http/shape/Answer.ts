import { Effect, type Scope } from "effect"
import type { WakeReason } from "../../storage/state/Waiters.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import type { ParkedEvents, ParkedRequest } from "./ParkedRequest.ts"
import { finishParked } from "./ReadLog.ts"

/** A reply, or a live request that is held until there is one: its taker owns it, and has to release it. */
export type Made = ApiReply | ParkedRequest | ParkedEvents

/** What has to be waited for before there is an answer. */
export interface Later {
  readonly _tag: "Later"
  /**
   * Never fails. The scope must stay open until the body has been written or given up: it holds the request's admission
   * and, for a subset, its rows. `keep` takes what is parked out of the scope. Interrupt it when the client is gone.
   */
  readonly made: Effect.Effect<Made, never, Scope.Scope>
}

/**
 * What comes of a request. Nearly always it is there at once: the reply, whose body is small enough to be sent without
 * waiting, or the request parked, as plain values that cost no fiber.
 */
export type Answer = Made | Later

export const later = (made: Later["made"]): Later => ({ _tag: "Later", made })

/** A reply, or the events that follow the head of one. */
export type Whole = ApiReply | ParkedEvents

/**
 * The reply in the end, for adapters that have a fiber for each request anyway: it waits for those that are parked, but for
 * streams of events, whose reply begins at once.
 */
export const wholeReply = (answer: Answer): Effect.Effect<Whole, never, Scope.Scope> => {
  if (!("_tag" in answer)) return Effect.succeed(answer)
  switch (answer._tag) {
    case "Later":
      return Effect.flatMap(answer.made, wholeReply)
    case "Parked":
      return Effect.andThen(releasedWithScope(answer), held(answer))
    case "Events":
      return Effect.as(releasedWithScope(answer), answer)
  }
}

/** Its place in the scope is given back with that, unless somebody keeps it. */
const releasedWithScope = ({ permit, services }: ParkedRequest | ParkedEvents) =>
  Effect.addFinalizer(() => Effect.sync(() => services.admission.release(permit)))

const held = (parked: ParkedRequest): Effect.Effect<Whole, never, Scope.Scope> =>
  Effect.flatMap(woken(parked), (reason) => {
    const made = parked.resume(reason)
    if (made === parked) return held(parked)
    return made === undefined ? Effect.flatMap(finishParked(parked), wholeReply) : wholeReply(made)
  })

const woken = (parked: ParkedRequest): Effect.Effect<WakeReason> =>
  Effect.callback((resume) => {
    const waiting = parked.watch({ woken: (reason) => resume(Effect.succeed(reason)) })
    if (typeof waiting === "string") return resume(Effect.succeed(waiting))
    return Effect.sync(() => waiting.stop())
  })
