import { codeField } from "../shared/TellFault.ts"
import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { exitCode } from "./ExitFault.ts"
import { tellConfigAdvice } from "../config/ConfigAdvice.ts"
import { Cause, Effect, Layer, Result } from "effect"
import { Baton } from "../Baton.ts"
import { askRunning } from "./running/AskRunning.ts"
import { verifyRunning } from "./running/VerifyRunning.ts"
import { doctor } from "./doctor/Doctor.ts"
import { finalise } from "./Finalise.ts"
import { parseCommandLine } from "./CommandLine.ts"
import { paintFor } from "./Terminal.ts"
import { Config, type BatonConfig } from "../config/BatonConfig.ts"
import { fileProblems } from "../config/CheckFiles.ts"
import { ConfigError } from "../config/ConfigError.ts"
import { parseConfig } from "../config/ParseConfig.ts"
import { EnvironmentReader } from "../config/EnvironmentReader.ts"
import { variables } from "../config/Variables.ts"
import { devCertificate } from "../dev/DevCertificate.ts"
import { devDatabase } from "../dev/DevDatabase.ts"
import { HttpServer } from "../http/node/HttpServer.ts"
import { runUntil } from "../instance/Process.ts"
import { stopSignal } from "../instance/StopSignal.ts"
import * as Logs from "../telemetry/Logs.ts"
import { telemetryLayer } from "../telemetry/otel/Telemetry.ts"
import { statsdLayer } from "../telemetry/statsd/StatsdLayer.ts"
import { batonVersion } from "../shared/ServerIdentity.ts"
import { giveBackIdleMemory } from "../telemetry/IdleMemory.ts"
import { systemTimers } from "../shared/Timers.ts"

/** Ends start-up with one message, and nothing but that message. */
class CannotStart {
  readonly message: string
  readonly code: FaultCode | undefined
  constructor(message: string, code?: FaultCode) {
    this.message = message
    this.code = code
  }
}

const codeOf = (error: unknown): FaultCode | undefined =>
  error instanceof CannotStart ? error.code : exitCode(error)

const notOnWindows =
  "Baton does not run on Windows itself: use the container image, or WSL 2 with Node.js inside it."

interface Start {
  readonly config: BatonConfig
  readonly warnings: ReadonlyArray<string>
  /** Of the development database, for the first lines of output. */
  readonly development: { readonly url: string; readonly directory: string } | undefined
}

/** With `--https`, and unless a certificate is configured, the service makes itself one. */
const withCertificate = Effect.fnUntraced(function* (start: Start, wanted: boolean) {
  if (!wanted || start.config.tlsCertFile !== undefined) return start
  const directory = new EnvironmentReader(process.env).read(variables.devDir)
  const { certFile, keyFile } = yield* devCertificate(directory).pipe(
    Effect.mapError((error) => new CannotStart(error.message, "BATON-START-FAILED"))
  )
  const note = `HTTPS with a certificate that this service made for localhost (${certFile}): browsers ask once whether to trust it`
  return {
    ...start,
    config: { ...start.config, tlsCertFile: certFile, tlsKeyFile: keyFile },
    warnings: [...start.warnings, note]
  } satisfies Start
})

const configure = Effect.gen(function* () {
  const parsed = parseConfig(process.env)
  if (Result.isFailure(parsed))
    return yield* Effect.fail(new CannotStart(parsed.failure.message, "BATON-CONFIG-INVALID"))
  const result = parsed.success
  const problems = result._tag === "Complete" ? fileProblems(result.config) : []
  if (problems.length > 0)
    return yield* Effect.fail(new CannotStart(new ConfigError({ problems }).message, "BATON-CONFIG-INVALID"))
  if (result._tag === "Complete") return { ...result, development: undefined } satisfies Start
  const database = yield* devDatabase({ directory: result.developmentDir }).pipe(
    Effect.mapError((error) => new CannotStart(error.message, "BATON-START-FAILED"))
  )
  const complete = result.complete(database.url)
  if (Result.isFailure(complete))
    return yield* Effect.fail(new CannotStart(complete.failure.message, "BATON-CONFIG-INVALID"))
  return { ...complete.success, development: database } satisfies Start
})

const storageOf = ({ bucket, storage, storageDir }: BatonConfig): string => {
  if (storage === "memory") return "in memory, gone when this process ends"
  if (bucket === undefined) return storageDir
  const { place } = bucket
  const shared = place._tag === "S3" ? `s3://${place.bucket}/${place.prefix}` : `file://${place.path}`
  return `${shared}, with a copy in ${storageDir}`
}

const announce = (start: Start) =>
  Effect.gen(function* () {
    const { url } = yield* HttpServer
    const { config, development } = start
    const target = config.database
    yield* Effect.logInfo(`Starting Baton ${batonVersion} (instance ${config.instanceId})`)
    yield* Effect.logInfo(`Shapes:   ${url}/v1/shape`)
    yield* Effect.logInfo(`Storage:  ${storageOf(config)}`)
    yield* Effect.logInfo(
      development === undefined
        ? `Database: postgres://${target.host}:${target.port}/${target.database}`
        : `Database: ${development.url} (development, data in ${development.directory})`
    )
    const trust = config.tlsCertFile === undefined ? "" : "-k "
    yield* Effect.logInfo(
      `Try:      curl ${trust}'${url}/v1/shape?table=${development === undefined ? "your_table" : "issues"}&offset=-1'${config.secret === undefined ? "" : ", with your secret as one more parameter"}`
    )
    yield* tellConfigAdvice(start.warnings)
  })

const serve = Effect.fnUntraced(function* (https: boolean) {
  const stop = yield* stopSignal()
  if (process.platform === "win32")
    return yield* Effect.fail(new CannotStart(notOnWindows, "BATON-START-FAILED"))
  const start = yield* Effect.raceFirst(
    Effect.flatMap(configure, (configured) => withCertificate(configured, https)),
    Effect.andThen(stop, Effect.fail(new CannotStart("Stopped")))
  )
  const { logLevel, logFormat, logColors } = start.config
  const logs = Logs.layer({ level: logLevel, format: logFormat, colors: logColors })
  const service = Baton.layerServer.pipe(
    Layer.provideMerge(Layer.merge(telemetryLayer, statsdLayer)),
    Layer.provideMerge(Layer.succeed(Config, start.config)),
    Layer.provideMerge(logs)
  )
  yield* giveBackIdleMemory
  yield* Effect.andThen(announce(start), runUntil(stop)).pipe(Effect.provide(service))
})

const logFormatOf = (environment: NodeJS.ProcessEnv): Logs.LogOptions["format"] => {
  const format = environment[variables.logFormat.name]
  return format === "json" || format === "text" ? format : "auto"
}

/** The last line of a service that cannot run: as the log has it, so that an operator who watches the log for errors sees it. */
const lastLine = (message: string, code: FaultCode | undefined): string => {
  const event = {
    date: new Date(systemTimers.epochMillis()),
    level: "Error",
    message,
    cause: Cause.empty,
    annotations: code === undefined ? {} : { [codeField]: code },
    spans: []
  } as const
  return Logs.formatter({ format: logFormatOf(process.env), colors: false }, 2)(event)
}

const command = parseCommandLine(process.argv.slice(2), batonVersion)

/** The process ends with the status that comes of it, or with one line that says why it cannot go on. */
const ended = (running: Effect.Effect<number, CannotStart | Error>): void => {
  Effect.runPromise(running).then(
    (status) => process.exit(status),
    (error: unknown) => {
      const message = error instanceof Error || error instanceof CannotStart ? error.message : String(error)
      process.stderr.write(`${lastLine(message, codeOf(error))}\n`)
      process.exit(1)
    }
  )
}

/** What commands print on, and how wide it is. */
const terminal = {
  environment: process.env,
  paint: paintFor(process.stdout.isTTY, process.env),
  width: process.stdout.isTTY ? process.stdout.columns : 400,
  say: (text: string) => process.stdout.write(text),
  complain: (text: string) => process.stderr.write(text)
}

if (command._tag === "Print") process.stdout.write(command.text)
else if (command._tag === "Mistake") {
  process.stderr.write(`${command.message}\n`)
  process.exitCode = command.status
} else if (command._tag === "Finalise")
  ended(finalise(process.env, (line) => process.stdout.write(`${line}\n`)))
else if (command._tag === "Doctor") ended(doctor({ ...terminal, json: command.json, write: command.write }))
else if (command._tag === "Ask") ended(askRunning({ ...terminal, ...command }))
else if (command._tag === "Verify")
  ended(verifyRunning({ ...terminal, ...command, isTerminal: process.stderr.isTTY && process.stdout.isTTY }))
else ended(Effect.as(Effect.scoped(serve(command.https)), 0))
