import { createServer } from "node:net"
import { Effect, Schedule } from "effect"
import type { BatonConfig } from "../config/BatonConfig.ts"
import { listenError, type ListenError } from "../http/node/HttpServer.ts"

/** Workers of a process that was killed need a moment to notice. */
const defaultRetryMillis = 2000
const everyMillis = 50

/**
 * Fails when somebody listens on the port already. A port that is shared between processes does not say so by itself:
 * another service that is started by mistake with the same port would get a part of the requests.
 */
export const portIsFree = (
  config: BatonConfig,
  retryMillis = defaultRetryMillis
): Effect.Effect<void, ListenError> =>
  config.port === 0
    ? Effect.void
    : Effect.callback<void, NodeJS.ErrnoException>((resume) => {
        const probe = createServer()
        probe.once("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(error)))
        probe.listen({ port: config.port, host: config.listenHost }, () =>
          probe.close(() => resume(Effect.void))
        )
        return Effect.sync(() => probe.close())
      }).pipe(
        Effect.retry({
          while: (error) => error.code === "EADDRINUSE",
          schedule: Schedule.upTo(Schedule.spaced(everyMillis), { duration: retryMillis })
        }),
        Effect.mapError((error) => listenError(config, error))
      )
