import { Effect } from "effect"
import type { ShapeDetail } from "../../operator/reports/ShapeDetail.ts"
import type { ShapePage } from "../../operator/gather/ListShapes.ts"
import type { StatusReport } from "../../operator/reports/StatusReport.ts"
import { systemTimers } from "../../shared/Timers.ts"
import type { Paint } from "../Terminal.ts"
import { askService, type Service, serviceOf, type Unanswered } from "./OperatorClient.ts"
import { printShape, printShapes } from "./PrintShapes.ts"
import { printStatus } from "./PrintStatus.ts"

/** What is asked of a running service. */
export type Question =
  | { readonly _tag: "Status" }
  /** `query`: of the list, as the API has it. */
  | { readonly _tag: "List"; readonly query: Readonly<Record<string, string>> }
  | { readonly _tag: "Show"; readonly handle: string }
  | { readonly _tag: "Delete"; readonly handle: string }

export interface RunningOptions {
  readonly question: Question
  readonly url: string | undefined
  readonly secret: string | undefined
  readonly json: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly paint: Paint
  /** Of the terminal, in characters. */
  readonly width: number
  readonly say: (text: string) => void
  readonly complain: (text: string) => void
}

/** `baton status` and `baton shapes`. Gives the exit status: 0 when the service has answered, 1 with one line that says why not. */
export const askRunning = (options: RunningOptions): Effect.Effect<number> =>
  answer(options, serviceOf(options.url, options.secret, options.environment)).pipe(
    Effect.match({
      onSuccess: (text) => {
        options.say(text)
        return 0
      },
      onFailure: ({ message }) => {
        options.complain(`${message}\n`)
        return 1
      }
    })
  )

const answer = (
  { json, paint, question, width }: RunningOptions,
  service: Service
): Effect.Effect<string, Unanswered> => {
  const asked = <A>(work: Effect.Effect<A, Unanswered>, print: (answered: A) => string) =>
    Effect.map(work, (answered) => (json ? `${JSON.stringify(answered)}\n` : print(answered)))
  const now = systemTimers.epochMillis
  switch (question._tag) {
    case "Status":
      return asked(askStatus(service), (status) => printStatus(status, paint, width))
    case "List":
      return asked(
        askService<ShapePage>(service, `shapes?${new URLSearchParams(question.query).toString()}`),
        (page) => printShapes(page, now(), width)
      )
    case "Show":
      return asked(askService<ShapeDetail>(service, shapePath(question.handle)), (shape) =>
        printShape(shape, now())
      )
    case "Delete":
      return asked(
        askService<unknown>(service, shapePath(question.handle), "DELETE"),
        () => `Deleted. Clients of the shape ${question.handle} begin anew by themselves.\n`
      )
  }
}

const shapePath = (handle: string): string => `shapes/${encodeURIComponent(handle)}`

/** Rates need two looks. */
const betweenMillis = 1000

const askStatus = (service: Service): Effect.Effect<StatusReport, Unanswered> =>
  Effect.flatMap(askService<StatusReport>(service, "status"), (status) =>
    status.rates === null
      ? Effect.delay(askService<StatusReport>(service, "status"), betweenMillis)
      : Effect.succeed(status)
  )
