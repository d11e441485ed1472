/** What a thread beside the event loop runs: it checks one clause after the other, as it is told by `CompileAside`. */
import { parentPort } from "node:worker_threads"
import { Effect, Result } from "effect"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { compileWhere } from "../CompileWhere.ts"
import { loadParser } from "../parse/Parser.ts"
import type { FromThread, ToThread } from "./AsideProtocol.ts"

const port = parentPort
if (port === null) throw new Error("This is run as a thread, by CompileAside")

const post = (message: FromThread): void => port.postMessage(message)

let catalogue: TypeCatalogue | undefined

port.on("message", ({ data, id, request }: ToThread) => {
  if (data !== undefined) catalogue = new TypeCatalogue(data)
  const known = catalogue
  if (known === undefined) throw new Error("The first clause comes with the catalogue")
  void Effect.runPromise(
    Effect.map(loadParser, () => {
      const result = compileWhere({ ...request, catalogue: known })
      post(
        Result.isSuccess(result)
          ? { id, compiled: result.success, refused: undefined }
          : { id, compiled: undefined, refused: result.failure }
      )
    })
  )
})
post({ release: batonVersion })
