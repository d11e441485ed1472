import { Effect, Layer } from "effect"
import { ShapeApi } from "../http/ShapeApi.ts"
import { Instance } from "./Instance.ts"

/**
 * Runs the instance beside a server of your own, for as long as the layer lives: it waits for the lock, takes over and
 * streams. When the layer is released the lock is given back first, which takes milliseconds, and replies ask their
 * clients to connect elsewhere. Provide the server to this layer, so that it is released after it and open requests are
 * answered from the successor's journal.
 *
 * What an operator has to mend (a wrong password, `wal_level`) is logged, and the API goes on with the shapes that storage
 * holds. Run `Instance.run` yourself where that should end the process instead.
 */
export const instanceInBackground: Layer.Layer<never, never, Instance | ShapeApi> = Layer.effectDiscard(
  Effect.gen(function* () {
    const instance = yield* Instance
    const api = yield* ShapeApi
    yield* Effect.forkScoped(Effect.catch(instance.run, ({ message }) => Effect.logError(message)))
    yield* Effect.addFinalizer(() => Effect.andThen(api.beginDrain, instance.shutdown))
  })
)
