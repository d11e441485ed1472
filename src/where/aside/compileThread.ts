/** What a thread beside the event loop runs: it checks one clause after the other, as it is told by `CompileAside`. */
import { parentPort } from "node:worker_threads"
import { Effect, Result } from "effect"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { compileWhere } from "../CompileWhere.ts"
import { loadParser } from "../parse/Parser.ts"
import { subselectTables } from "../SubselectTables.ts"
import type { WhereError } from "../WhereError.ts"
import type { Found, FromThread, ToThread } from "./AsideProtocol.ts"

const port = parentPort
if (port === null) throw new Error("This is run as a thread, by CompileAside")

const post = (message: FromThread): void => port.postMessage(message)

let catalogue: TypeCatalogue | undefined

const run = (task: ToThread): Result.Result<Found, WhereError> => {
  if ("tablesOf" in task) return subselectTables(task.tablesOf.sql, task.tablesOf.limits)
  if (task.data !== undefined) catalogue = new TypeCatalogue(task.data)
  if (catalogue === undefined) throw new Error("The first clause comes with the catalogue")
  return compileWhere({ ...task.request, catalogue })
}

port.on("message", (task: ToThread) => {
  const { id } = task
  void Effect.runPromise(
    Effect.map(loadParser, () => {
      const result = run(task)
      post(
        Result.isSuccess(result)
          ? { id, found: result.success, refused: undefined }
          : { id, found: undefined, refused: result.failure }
      )
    })
  )
})
post({ release: batonVersion })
