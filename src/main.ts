#!/usr/bin/env node
import { Deferred, Effect, Layer, Result } from "effect"
import { Baton } from "./Baton.ts"
import { Config, type BatonConfig } from "./config/BatonConfig.ts"
import { parseConfig } from "./config/parseConfig.ts"
import { devDatabase } from "./dev/DevDatabase.ts"
import { HttpServer } from "./http/HttpServer.ts"
import { runUntil } from "./instance/Process.ts"
import * as Logs from "./telemetry/Logs.ts"
import { batonVersion } from "./http/serverIdentity.ts"

/** Ends start-up with one message, and nothing but that message. */
class CannotStart {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** SIGTERM or Ctrl-C ends the service in order; a second one ends it at once. */
const stopSignal = Effect.gen(function* () {
  const stopped = yield* Deferred.make<void>()
  let signals = 0
  const onSignal = () => {
    if (++signals > 1) process.exit(130)
    Deferred.doneUnsafe(stopped, Effect.void)
  }
  process.on("SIGTERM", onSignal)
  process.on("SIGINT", onSignal)
  return Deferred.await(stopped)
})

interface Start {
  readonly config: BatonConfig
  readonly warnings: ReadonlyArray<string>
  /** Of the development database, for the first lines of output. */
  readonly development: { readonly url: string; readonly directory: string } | undefined
}

const prepare = Effect.gen(function* () {
  const parsed = parseConfig(process.env)
  if (Result.isFailure(parsed)) return yield* Effect.fail(new CannotStart(parsed.failure.message))
  const result = parsed.success
  if (result._tag === "Complete") return { ...result, development: undefined } satisfies Start
  const database = yield* devDatabase({ directory: result.developmentDir }).pipe(
    Effect.mapError((error) => new CannotStart(error.message))
  )
  const complete = result.complete(database.url)
  if (Result.isFailure(complete)) return yield* Effect.fail(new CannotStart(complete.failure.message))
  return { ...complete.success, development: database } satisfies Start
})

const announce = (start: Start) =>
  Effect.gen(function* () {
    const { url } = yield* HttpServer
    const { config, development } = start
    const target = config.database
    yield* Effect.logInfo(`Starting Baton ${batonVersion} (instance ${config.instanceId})`)
    yield* Effect.logInfo(`Shapes:   ${url}/v1/shape`)
    yield* Effect.logInfo(
      `Storage:  ${config.storage === "memory" ? "in memory, gone when this process ends" : config.storageDir}`
    )
    yield* Effect.logInfo(
      development === undefined
        ? `Database: postgres://${target.host}:${target.port}/${target.database}`
        : `Database: ${development.url} (development, data in ${development.directory})`
    )
    const secret = config.secret === undefined ? "" : "&secret=..."
    yield* Effect.logInfo(
      `Try:      curl '${url}/v1/shape?table=${development === undefined ? "your_table" : "issues"}&offset=-1${secret}'`
    )
    for (const warning of start.warnings) yield* Effect.logWarning(warning)
  })

const main = Effect.gen(function* () {
  const stop = yield* stopSignal
  const start = yield* Effect.raceFirst(
    prepare,
    Effect.andThen(stop, Effect.fail(new CannotStart("Stopped")))
  )
  const { logLevel, logColors } = start.config
  const logs = Logs.layer({ level: logLevel, ...(logColors === undefined ? {} : { colors: logColors }) })
  const service = Baton.layerServer.pipe(
    Layer.provideMerge(Layer.succeed(Config, start.config)),
    Layer.provideMerge(logs)
  )
  yield* Effect.andThen(announce(start), runUntil(stop)).pipe(Effect.provide(service))
})

Effect.runPromise(Effect.scoped(main)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(
      `${error instanceof Error || error instanceof CannotStart ? error.message : String(error)}\n`
    )
    process.exit(1)
  }
)
