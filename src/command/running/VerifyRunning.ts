import { Effect, Schedule } from "effect"
import { totalFound, type VerifyReport } from "../../registry/verify/VerifyReport.ts"
import type { RunningOptions } from "./AskRunning.ts"
import { askService, type Service, serviceOf, type Unanswered } from "./OperatorClient.ts"
import { printVerify, verifyBar } from "./PrintVerify.ts"

/** How often it is asked how far the comparison is. */
const lookMillis = 500
/** An instance that gives up the lock, and takes it again, may be slow to answer. */
const patience = 20

interface VerifyOptions extends Omit<RunningOptions, "question"> {
  /** As the API has them. */
  readonly query: Readonly<Record<string, string>>
  readonly stop: boolean
  /** Somebody looks: a bar shows how far it is. */
  readonly isTerminal: boolean
}

/**
 * `baton verify`: has the active instance compare shapes with the database, and waits for it. Gives the exit status: 0 when nothing
 * differs, 1 when something does (or did, before a repair), 2 when it could not be compared.
 */
export const verifyRunning = (options: VerifyOptions): Effect.Effect<number> => {
  const service = serviceOf(options.url, options.secret, options.environment)
  return (options.stop ? stopped(options, service) : compared(options, service)).pipe(
    Effect.catch(({ message }) =>
      Effect.sync(() => {
        options.complain(`${message}\n`)
        return 2
      })
    )
  )
}

const stopped = ({ say }: VerifyOptions, service: Service): Effect.Effect<number, Unanswered> =>
  Effect.map(askService(service, "verify", "DELETE"), () => {
    say("Stopped.\n")
    return 0
  })

const compared = (options: VerifyOptions, service: Service): Effect.Effect<number, Unanswered> =>
  Effect.gen(function* () {
    const { complain, isTerminal, json, query, say, width } = options
    let report = yield* askService<VerifyReport>(
      service,
      `verify?${new URLSearchParams(query).toString()}`,
      "POST"
    )
    const begun = report.startedAt
    while (report.state === "running" || report.repair === "underWay") {
      if (isTerminal) complain(`\r\u001b[K${verifyBar(report).slice(0, width - 1)}`)
      yield* Effect.sleep(lookMillis)
      report = yield* Effect.retry(askService<VerifyReport>(service, "verify"), {
        times: patience,
        schedule: Schedule.spaced(lookMillis)
      })
      if (report.startedAt !== begun) return yield* Effect.fail(another)
    }
    if (isTerminal) complain("\r\u001b[K")
    say(json ? `${JSON.stringify(report)}\n` : printVerify(report, width))
    if (report.state !== "done") return 2
    return totalFound(report.found) === 0 ? 0 : 1
  })

const another: Unanswered = {
  message: "Another comparison is answered for: ask the active instance itself, not one of several."
}
