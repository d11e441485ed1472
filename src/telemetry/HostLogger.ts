import { Layer, Logger, References } from "effect"
import type { BatonConfig } from "../config/BatonConfig.ts"
import type { LogEvent } from "./LogEvent.ts"
import { logRecord } from "./LogJson.ts"
import { eventOf, minimumLevel } from "./Logs.ts"

export type HostLogLevel = "error" | "warn" | "info" | "debug"

/** What Baton has to say, for a program that has a log of its own. Holds no secrets. */
export interface HostLogLine {
  readonly time: Date
  readonly level: HostLogLevel
  readonly message: string
  /** What belongs to it: `error` or `stack` of what went wrong, and others by name. Texts. */
  readonly fields: Readonly<Record<string, string>>
}

/** A function of one line, or an object with methods that take fields and message, as pino's loggers and Fastify's `log` have. */
export type HostLogger =
  | ((line: HostLogLine) => void)
  | Readonly<Record<HostLogLevel, (fields: Readonly<Record<string, string>>, message: string) => void>>

const levels: Readonly<Record<string, HostLogLevel>> = {
  fatal: "error",
  error: "error",
  warning: "warn",
  info: "info",
  debug: "debug",
  trace: "debug"
}

const lineOf = (event: LogEvent): HostLogLine => {
  const { error, fields, level, message, stack } = logRecord(event)
  return {
    time: event.date,
    level: levels[level] ?? "info",
    message,
    fields: {
      ...fields,
      ...(error === undefined ? {} : { error }),
      ...(stack === undefined ? {} : { stack })
    }
  }
}

/**
 * Replaces Effect's loggers by the host's. One that throws loses its line and nothing else; that it does is said once, as a
 * warning of the process.
 */
export const hostLoggerLayer = (logger: HostLogger, level: BatonConfig["logLevel"]): Layer.Layer<never> => {
  let failed = false
  const write = (line: HostLogLine) => {
    try {
      if (typeof logger === "function") logger(line)
      else logger[line.level](line.fields, line.message)
    } catch (problem) {
      if (failed) return
      failed = true
      process.emitWarning(
        `The logger that was given to Baton failed, and what it was given is lost: ${String(problem)}`
      )
    }
  }
  return Layer.merge(
    Logger.layer([Logger.make<unknown, void>((options) => write(lineOf(eventOf(options))))]),
    Layer.succeed(References.MinimumLogLevel, minimumLevel[level])
  )
}
