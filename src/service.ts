import { Deferred, Effect, Layer, Result } from "effect"
import { Baton } from "./Baton.ts"
import { Config, type BatonConfig } from "./config/BatonConfig.ts"
import { parseConfig } from "./config/parseConfig.ts"
import { EnvironmentReader } from "./config/EnvironmentReader.ts"
import { variables } from "./config/Variables.ts"
import { devCertificate } from "./dev/DevCertificate.ts"
import { devDatabase } from "./dev/DevDatabase.ts"
import { HttpServer } from "./http/HttpServer.ts"
import { runUntil } from "./instance/Process.ts"
import * as Logs from "./telemetry/Logs.ts"
import { batonVersion } from "./http/serverIdentity.ts"
import { giveBackIdleMemory } from "./telemetry/IdleMemory.ts"

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

const usage = "usage: baton [--https | --version]"

/** Options of the command line. What the service is to do is said by environment variables; these are for development. */
const readOptions = Effect.suspend(() => {
  const given = process.argv.slice(2)
  const unknown = given.find((option) => option !== "--https")
  return unknown === undefined
    ? Effect.succeed({ https: given.includes("--https") })
    : Effect.fail(new CannotStart(`Unknown option ${JSON.stringify(unknown)}\n${usage}`))
})

/** With `--https`, and unless a certificate is configured, the service makes itself one. */
const withCertificate = Effect.fnUntraced(function* (start: Start, wanted: boolean) {
  if (!wanted || start.config.tlsCertFile !== undefined) return start
  const directory = new EnvironmentReader(process.env).read(variables.devDir)
  const { certFile, keyFile } = yield* devCertificate(directory).pipe(
    Effect.mapError((error) => new CannotStart(error.message))
  )
  const note = `HTTPS with a certificate that this service made for localhost (${certFile}): browsers ask once whether to trust it`
  return {
    ...start,
    config: { ...start.config, tlsCertFile: certFile, tlsKeyFile: keyFile },
    warnings: [...start.warnings, note]
  } satisfies Start
})

const prepare = Effect.gen(function* () {
  const { https } = yield* readOptions
  return yield* withCertificate(yield* configure, https)
})

const configure = Effect.gen(function* () {
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
    const trust = config.tlsCertFile === undefined ? "" : "-k "
    yield* Effect.logInfo(
      `Try:      curl ${trust}'${url}/v1/shape?table=${development === undefined ? "your_table" : "issues"}&offset=-1'${config.secret === undefined ? "" : ", with your secret as one more parameter"}`
    )
    for (const warning of start.warnings) yield* Effect.logWarning(warning)
  })

const main = Effect.gen(function* () {
  if (process.argv[2] === "--version") return void process.stdout.write(`${batonVersion}\n`)
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
  yield* giveBackIdleMemory
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
