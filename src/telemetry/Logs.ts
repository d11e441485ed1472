import { Effect, Layer, Logger, type LogLevel, References } from "effect"
import { isatty } from "node:tty"
import { type BatonConfig, Config } from "../config/BatonConfig.ts"
import { type LineWriter, makeLineWriter } from "./LineWriter.ts"
import type { LogEvent } from "./LogEvent.ts"
import { formatLogJson } from "./LogJson.ts"
import { formatLogLine } from "./LogLine.ts"

export interface LogOptions {
  readonly level: BatonConfig["logLevel"]
  /** Lines for people (the default), JSON for what collects logs, or `auto`: lines on a terminal, JSON otherwise. */
  readonly format?: BatonConfig["logFormat"] | undefined
  /** False turns colours off; otherwise they appear where the log goes to a terminal. */
  readonly colors?: boolean | undefined
  /** Where the log goes; default 1, standard output. Errors as well: one stream keeps its order. */
  readonly fd?: number
}

export const minimumLevel: Readonly<Record<BatonConfig["logLevel"], LogLevel.LogLevel>> = {
  error: "Error",
  warning: "Warn",
  info: "Info",
  debug: "Debug"
}

/** How long the end of the program waits for a slow reader of the log. */
const flushMillis = 1_000

/** What Effect tells its loggers, taken out of the fiber that logs. */
export const eventOf = ({ cause, date, fiber, logLevel, message }: Logger.Options<unknown>): LogEvent => ({
  date,
  level: logLevel,
  message,
  cause,
  annotations: fiber.getRef(References.CurrentLogAnnotations),
  spans: fiber.getRef(References.CurrentLogSpans)
})

const logger = (writer: LineWriter, format: (event: LogEvent) => string): Logger.Logger<unknown, void> =>
  Logger.make((options) => writer.offer(format(eventOf(options))))

/** How lines that go to `fd` look. */
export const formatter = (
  options: Pick<LogOptions, "format" | "colors">,
  fd: number
): ((event: LogEvent) => string) => {
  if (options.format === "json" || (options.format === "auto" && !isatty(fd))) return formatLogJson
  const colors = options.colors !== false && isatty(fd)
  return (event) => formatLogLine(event, colors)
}

/**
 * Replaces Effect's loggers: one readable line per event, without secrets, to standard output. Logging never waits for
 * the reader of the log; lines that a slow reader does not take in time are dropped and counted. What is left is written
 * when the layer is closed, and on `process.exit`.
 */
export const layer = (options: LogOptions): Layer.Layer<never> => {
  const fd = options.fd ?? 1
  const writer = Effect.acquireRelease(
    Effect.sync(() => {
      const made = makeLineWriter(fd)
      process.on("exit", made.flushSync)
      return made
    }),
    (made) =>
      // It never rejects: lines that cannot be written are dropped.
      Effect.promise(() => made.flush(flushMillis)).pipe(
        Effect.andThen(Effect.sync(() => process.off("exit", made.flushSync)))
      )
  )
  return Layer.merge(
    Logger.layer([Effect.map(writer, (made) => logger(made, formatter(options, fd)))]),
    Layer.succeed(References.MinimumLogLevel, minimumLevel[options.level])
  )
}

/** The same, as the configuration wants it. */
export const layerFromConfig: Layer.Layer<never, never, Config> = Layer.unwrap(
  Effect.map(Config, ({ logColors, logFormat, logLevel }) =>
    layer({ level: logLevel, format: logFormat, colors: logColors })
  )
)
