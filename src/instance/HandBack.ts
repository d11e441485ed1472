import { Effect } from "effect"
import type { LockActor } from "../lock/LockActor.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import type { CurrentSession } from "../registry/CurrentSession.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import type { Timers } from "../shared/Timers.ts"
import { Steps } from "../telemetry/Steps.ts"
import { handBackMillis } from "./InstanceTimings.ts"

/** No more shapes; what was received is made durable and acknowledged; then the lock is free. */
export const handBack = (
  actors: {
    readonly sessions: CurrentSession["Service"]
    readonly lock: LockActor["Service"]
    readonly timers: Timers
  },
  connection: ReplicationConnection,
  session: RegistrySession
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { lock, sessions, timers } = actors
    const steps = new Steps(timers.nowMillis)
    yield* sessions.end
    yield* Effect.promise(() => session.sink.handBack()).pipe(Effect.timeoutOption(handBackMillis))
    steps.done("flush")
    yield* lock.giveBack
    yield* connection.close
    steps.done("close")
    yield* Effect.logDebug(`Giving the lock back step by step: ${steps}`)
  })
