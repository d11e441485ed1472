import { Effect, Result } from "effect"
import type { OperatorReply } from "../../http/shape/OperatorDoor.ts"
import type { VerifyRequest } from "../../registry/verify/VerifyReport.ts"
import type { OperatorServices } from "../Services.ts"
import { json, problem } from "./OperatorReplies.ts"

/** Little enough for a service that has something else to do. */
const standardRate = 10_000
const fastestRate = 10_000_000

/** What is to be compared, from the parameters of a request; the failure says what cannot be read. */
const parseVerifyRequest = (params: URLSearchParams): Result.Result<VerifyRequest, string> => {
  for (const name of params.keys())
    if (!["shape", "table", "rate", "repair", "secret", "api_secret"].includes(name))
      return Result.fail(
        `There is no parameter ${JSON.stringify(name)}: shape, table, rate and repair are known.`
      )
  const rate = params.get("rate") ?? String(standardRate)
  const rowsPerSecond = /^\d+$/.test(rate) ? Number(rate) : 0
  if (rowsPerSecond < 1 || rowsPerSecond > fastestRate)
    return Result.fail(`rate must be a number of rows in a second, from 1 to ${fastestRate}.`)
  const repair = params.get("repair") ?? "false"
  if (repair !== "true" && repair !== "false") return Result.fail("repair must be true or false.")
  const handle = params.get("shape") ?? ""
  const table = params.get("table") ?? ""
  return Result.succeed({
    ...(handle === "" ? {} : { handle }),
    ...(table === "" ? {} : { table }),
    rowsPerSecond,
    repair: repair === "true"
  })
}

/** Comparisons of shapes with the database: how one stands, beginning one, stopping it. */
export class VerifyQuestions {
  private readonly verifier: OperatorServices["verifier"]

  constructor({ verifier }: OperatorServices) {
    this.verifier = verifier
  }

  get report(): Effect.Effect<OperatorReply> {
    return Effect.map(this.verifier.report, (report) => (report === undefined ? noneYet : json(200, report)))
  }

  start(params: URLSearchParams): Effect.Effect<OperatorReply> {
    const request = parseVerifyRequest(params)
    if (Result.isFailure(request)) return Effect.succeed(problem(400, "bad-query", request.failure))
    return this.verifier.start(request.success).pipe(
      Effect.map((report) => json(202, report)),
      Effect.catchTags({
        NotActive: ({ message }) =>
          Effect.succeed(
            problem(
              503,
              "not-active",
              `${message} Only the active instance compares shapes with the database: ask that one.`,
              "retry-after",
              "5"
            )
          ),
        VerifyRefused: ({ message, why }) =>
          Effect.succeed(
            why === "running" ? problem(409, "running", message) : problem(404, "no-such-shape", message)
          )
      })
    )
  }

  get stop(): Effect.Effect<OperatorReply> {
    return Effect.map(this.verifier.stop, (wasRunning) =>
      wasRunning ? json(202, { stopped: true }) : noneNow
    )
  }
}

const noneYet = problem(404, "none", "This process has made no comparison since it began.")
const noneNow = problem(404, "none", "No comparison is under way here.")
