import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { LockActor } from "../lock/LockActor.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import type { CurrentSession } from "../registry/CurrentSession.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import type { Timers } from "../shared/Timers.ts"
import { Steps } from "../telemetry/Steps.ts"
import { handBackMillis } from "./InstanceTimings.ts"

const tooSlow = { message: `the disk has not made it durable within ${handBackMillis} ms` }

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
    yield* session.sink.handBack.pipe(
      Effect.timeoutOrElse({ duration: handBackMillis, orElse: () => Effect.fail(tooSlow) }),
      Effect.catch(({ message }) =>
        reportFault(
          "BATON-LOCK-HANDBACK",
          `What came last is not acknowledged: ${message}. The lock is given back all the same; its next holder gets from Postgres again what is not stored.`
        )
      )
    )
    steps.done("flush")
    yield* lock.giveBack
    yield* connection.close
    steps.done("close")
    yield* Effect.logDebug(`Giving the lock back step by step: ${steps}`)
  })
