import { Effect, Semaphore } from "effect"
import { abilities } from "../../health/HealthState.ts"
import type { OperatorReply } from "../../http/shape/OperatorDoor.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { parseOffset } from "../../shapes/LogOffset.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { askWhy, countRows } from "../gather/AskRow.ts"
import { readChanges } from "../gather/ReadChanges.ts"
import type { OperatorServices } from "../Services.ts"
import { json, noSuchShape, problem } from "./OperatorReplies.ts"

/** A key value is no longer than what an index of Postgres holds. */
const longestKey = 8000

/** Classes of SQLSTATE that are about what was asked: a value that cannot be read, a type that is another one. */
const isAboutQuestion = ({ code }: PgError): boolean =>
  code?.startsWith("22") === true || code?.startsWith("42") === true

const askFailed = (error: PgError): Effect.Effect<OperatorReply> => {
  const said = error.serverMessage ?? error.message
  if (error.code === "57014")
    return Effect.succeed(problem(504, "too-slow", `Postgres has not answered within 5 seconds: ${said}.`))
  return Effect.succeed(
    isAboutQuestion(error)
      ? problem(400, "bad-key", `Postgres says: ${said}.`)
      : problem(503, "database", `Postgres could not be asked: ${said}. Try again.`)
  )
}

/** What is asked about one shape that shows something of its rows. */
export class ShapeQuestions {
  private readonly services: OperatorServices
  /** Operators wait for each other, so that clients do not wait for them. */
  private readonly turns = Semaphore.makeUnsafe(1)

  constructor(services: OperatorServices) {
    this.services = services
  }

  private with(
    handle: string,
    answer: (shape: ShapeState) => Effect.Effect<OperatorReply>
  ): Effect.Effect<OperatorReply> {
    return Effect.suspend(() => {
      const shape = this.services.engine.store.byHandle(handle)
      return shape === undefined ? Effect.succeed(noSuchShape) : answer(shape)
    })
  }

  /** A question that Postgres is asked. */
  private asking(
    handle: string,
    answer: (shape: ShapeState) => Effect.Effect<OperatorReply, PgError>
  ): Effect.Effect<OperatorReply> {
    const state = this.services.health.current()
    if (!abilities[state].asksDatabase)
      return Effect.succeed(
        problem(503, "database", `This instance is ${state}, and does not ask the database. Ask another one.`)
      )
    return this.with(handle, (shape) => Effect.catch(answer(shape), askFailed))
  }

  changes(handle: string, after: string | null): Effect.Effect<OperatorReply> {
    const offset = after === null || after === "" ? undefined : parseOffset(after)
    if (offset === undefined && after !== null && after !== "")
      return Effect.succeed(problem(400, "bad-offset", "after must be an offset, as next has it."))
    return this.with(handle, (shape) =>
      readChanges(this.services.logs, shape, offset).pipe(
        Effect.map((report) => json(200, report)),
        Effect.catch(({ message }) =>
          Effect.succeed(problem(503, "unreadable", `The log of the shape cannot be read: ${message}.`))
        )
      )
    )
  }

  why(handle: string, key: ReadonlyArray<string>): Effect.Effect<OperatorReply> {
    return this.asking(handle, (shape) => {
      const { keyColumns } = shape.common
      if (key.length !== keyColumns.length)
        return Effect.succeed(
          problem(
            400,
            "bad-key",
            `key must be there ${keyColumns.length === 1 ? "once" : `${keyColumns.length} times`}: for ${keyColumns.join(", ")}.`
          )
        )
      if (key.some((value) => value.length > longestKey || value.includes("\0")))
        return Effect.succeed(problem(400, "bad-key", "A value of the key is too long, or holds a NUL."))
      const { admin } = this.services
      return Effect.map(askWhy(admin, this.turns, shape.definition, key), (report) => json(200, report))
    })
  }

  rows(handle: string): Effect.Effect<OperatorReply> {
    return this.asking(handle, (shape) =>
      Effect.map(countRows(this.services.admin, this.turns, shape.definition), (rows) => json(200, { rows }))
    )
  }
}
