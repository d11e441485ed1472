import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Cause, Effect } from "effect"
import type { OperatorDoor } from "../http/shape/OperatorDoor.ts"
import type { AdminPool } from "../postgres/connection/Pools.ts"
import type { NotActive, ShapeRegistry } from "../registry/ShapeRegistry.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { unlessAway } from "../storage/BucketStatus.ts"
import { operatedOf } from "./PassOperator.ts"
import { durableIn } from "../storage/NotWriting.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { Answers, Question } from "./WorkerProtocol.ts"
import { durableMillis } from "./WorkerTimings.ts"

export interface MainServices {
  readonly registry: ShapeRegistry["Service"]
  readonly admin: AdminPool["Service"]
  readonly engine: StorageEngine
  readonly operator: OperatorDoor["Service"] | undefined
}

type Answer = Answers[keyof Answers]

const notActive = ({ message, why }: Pick<NotActive, "message" | "why">): Answer => ({
  _tag: "NotActive",
  why,
  message
})

const create = (services: MainServices, definition: ShapeDefinition): Effect.Effect<Answer> =>
  services.registry.getOrCreate(definition).pipe(
    Effect.map((shape): Answer => ({ _tag: "Created", handle: shape.handle })),
    Effect.catchTags({
      NotActive: (error) => Effect.succeed(notActive(error)),
      SnapshotFailed: ({ kind, message }) => Effect.succeed<Answer>({ _tag: "SnapshotFailed", kind, message })
    })
  )

const drop = (services: MainServices, handle: string, reason: string): Effect.Effect<Answer> =>
  services.registry.drop(handle, reason).pipe(
    Effect.map((found): Answer => ({ _tag: "Dropped", found })),
    Effect.catchTag("NotActive", (error) => Effect.succeed(notActive(error)))
  )

/** So that the worker can read what was written before it asked. What does not become durable it cannot be shown at all. */
const settle = ({ engine }: MainServices): Effect.Effect<Answer> =>
  Effect.suspend(() => {
    // Before what is known is made durable, for the worker to read.
    const { knowsAllTold } = engine
    return unlessAway(engine.bucketStatus, durableIn(engine.writer), ({ fault }) => fault).pipe(
      Effect.as(knowsAllTold),
      Effect.timeoutOrElse({ duration: durableMillis, orElse: () => Effect.succeed(false) }),
      Effect.orElseSucceed(() => false),
      Effect.map((isAll): Answer => ({ _tag: "Settled", isAll }))
    )
  })

const query = (services: MainServices, sql: string, params: ReadonlyArray<unknown>): Effect.Effect<Answer> =>
  services.admin.query(sql, params).pipe(
    Effect.map((rows): Answer => ({ _tag: "Rows", rows })),
    Effect.catch(({ kind, message, code, serverMessage, serverDetail, routine }) =>
      Effect.succeed<Answer>({
        _tag: "Failed",
        error: { kind, message, code, serverMessage, serverDetail, routine }
      })
    )
  )

const operatedNot: Answer = { _tag: "Operated", status: 404, headers: [], body: new Uint8Array() }

const operate = (
  { operator }: MainServices,
  { headers, method, target }: Extract<Question, { readonly _tag: "Operate" }>
): Effect.Effect<Answer> => {
  const handler = operator?.current()
  if (handler === undefined) return Effect.succeed(operatedNot)
  const request = {
    method,
    target,
    header: (name: string) => headers[name],
    headers: () => headers,
    body: () => Effect.succeed(new Uint8Array())
  }
  return Effect.flatMap(handler.handle(request, "api"), operatedOf)
}

const work = (services: MainServices, question: Question): Effect.Effect<Answer> => {
  switch (question._tag) {
    case "Create":
      return create(services, JSON.parse(question.definition) as ShapeDefinition)
    case "Drop":
      return drop(services, question.handle, question.reason)
    case "Settle":
      return settle(services)
    case "Query":
      return query(services, question.sql, question.params)
    case "Operate":
      return operate(services, question)
  }
}

/** When the work ended in a way that nobody expected: the worker still has a client that waits. */
const afterDefect = (question: Question, reason: string): Answer => {
  switch (question._tag) {
    case "Create":
      return { _tag: "SnapshotFailed", kind: "unexpected", message: "The shape could not be made" }
    case "Drop":
      return notActive({ why: "silent", message: reason })
    case "Settle":
      return { _tag: "Settled", isAll: false }
    case "Query":
      return {
        _tag: "Failed",
        error: {
          kind: "unknown",
          message: reason,
          code: undefined,
          serverMessage: undefined,
          serverDetail: undefined,
          routine: undefined
        }
      }
    case "Operate":
      return { ...operatedNot, status: 500 }
  }
}

/** Does what a worker asks the main process to do. Always answers, also when it is interrupted. */
export const answerWorker = (services: MainServices, question: Question): Effect.Effect<Answer> =>
  Effect.suspend(() => work(services, question)).pipe(
    Effect.catchCause((cause) => {
      const answer = afterDefect(question, Cause.pretty(cause))
      return Cause.hasInterruptsOnly(cause)
        ? Effect.succeed(answer)
        : Effect.as(
            reportFault("BATON-SERVICE-MISTAKE", {
              message:
                `A worker's request (${question._tag}) failed inside Baton. This is a bug in Baton, please report it. ` +
                "Its client gets an error and tries again; the service goes on.",
              cause
            }),
            answer
          )
    })
  )
