import { Effect, type Scope } from "effect"
import { StatsD } from "hot-shots"
import type { StatsdConfig } from "../../config/OtlpConfig.ts"
import { makeErrands } from "../../shared/Duty.ts"
import { reportFault } from "../faults/ReportFault.ts"
import type { StatsdSender } from "./StatsdSender.ts"

/** What fits into one packet on an ordinary network. */
const packetBytes = 1432
const flushMillis = 200
const sayAgainMillis = 600_000

/** Without exponents, which receivers do not read. */
const rounded = (value: number): number => Math.round(value * 1000) / 1000

const socketError = (error: Error, { host, port }: StatsdConfig): Effect.Effect<void> =>
  reportFault("BATON-TELEMETRY-EXPORT", {
    message:
      `Metrics could not be sent to StatsD at ${host}:${port}: ${error.message}. They are lost, the next ones are tried, and nothing else is ` +
      "affected. If it stays, correct ELECTRIC_STATSD_HOST.",
    about: "statsd",
    everyMillis: sayAgainMillis
  })

/** Sends packets over UDP until the scope closes. */
export const makeStatsdClient = (
  config: StatsdConfig,
  instanceId: string
): Effect.Effect<StatsdSender, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = yield* makeErrands
    const client = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new StatsD({
            host: config.host,
            port: config.port,
            cacheDns: true,
            globalTags: { instance_id: instanceId },
            maxBufferSize: packetBytes,
            bufferFlushInterval: flushMillis,
            // Otherwise it adds what it finds in the environment and in /proc.
            includeDataDogTags: false,
            originDetection: false,
            errorHandler: (error) => run("A line of the log", socketError(error, config))
          })
      ),
      (made) => Effect.callback<void>((resume) => made.close(() => resume(Effect.void)))
    )
    return {
      count: (name, by, tags = {}) => client.increment(name, rounded(by), tags),
      gauge: (name, value, tags = {}) => client.gauge(name, rounded(value), tags),
      distribution: (name, value, tags = {}) => client.distribution(name, rounded(value), tags)
    }
  })
