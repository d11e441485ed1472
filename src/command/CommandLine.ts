import { Result } from "effect"
import { nearestName } from "../shared/NearestName.ts"
import { helpOption, optionLines, type OptionSpec, readOptions } from "./CommandOptions.ts"
import { type Command, commands, type Task } from "./Commands.ts"

/** What the command line asks for. What the service is to do is said by environment variables; these are for people. */
type CommandLine =
  | { readonly _tag: "Serve"; readonly https: boolean }
  | Task
  | { readonly _tag: "Print"; readonly text: string }
  | { readonly _tag: "Mistake"; readonly message: string; readonly status: number }

const serveOptions: ReadonlyArray<OptionSpec> = [
  {
    name: "--https",
    about: "serve HTTPS and HTTP/2 with a certificate that is made for localhost (for development)"
  },
  { name: "--version", about: "print the version" },
  helpOption
]

const serveUsage = `baton [${serveOptions.map(({ name }) => name).join(" | ")}]`
const usage = [serveUsage, `baton ${commands.map(({ name }) => name).join(" | ")}`]

const usageLines = (lines: ReadonlyArray<string>): string =>
  lines.map((line, i) => `${i === 0 ? "usage: " : "       "}${line}`).join("\n")

const help = `${usageLines([serveUsage, ...commands.flatMap((command) => command.usage)])}

Syncs shapes of a Postgres database to clients over HTTP. Everything is configured by environment variables:

  DATABASE_URL           the database to replicate from; unset: a development database, where one is installed
  ELECTRIC_SECRET        every request for a shape has to carry it (or ELECTRIC_INSECURE=true)
  ELECTRIC_PORT          port of the HTTP API (3000)
  ELECTRIC_STORAGE_DIR   where shapes are kept (./persistent)

docs/configuration.md lists all of them.

commands, of which "baton <command> --help" tells more:
${commands.map(({ about, name }) => `  ${name.padEnd(9)}  ${about}`).join("\n")}

options:
${optionLines(serveOptions)}
`

const helpOf = ({ help: text, options, usage: lines }: Command): string =>
  `${usageLines(lines)}\n\n${text}\n\noptions:\n${optionLines(options)}\n`

const mistake = (message: string, lines: ReadonlyArray<string>, status = 1): CommandLine => ({
  _tag: "Mistake",
  status,
  message: `${message}\n${usageLines(lines)}`
})

/** Reads the arguments of the command; any mistake is said with what there is. */
export const parseCommandLine = (args: ReadonlyArray<string>, version: string): CommandLine => {
  const [first = ""] = args
  const command = commands.find(({ name }) => name === first)
  return command === undefined ? parseServe(args, version) : parseCommand(command, args.slice(1))
}

const parseServe = (args: ReadonlyArray<string>, version: string): CommandLine => {
  const given = readOptions(serveOptions, args)
  if (Result.isFailure(given)) return mistake(given.failure, usage)
  const { rest, values } = given.success
  const [unknown] = rest
  if (unknown !== undefined) {
    const near = nearestName(
      unknown,
      commands.map(({ name }) => name)
    )
    return mistake(
      `Unknown command ${JSON.stringify(unknown)}${near === undefined ? "" : `; did you mean ${near}?`}`,
      usage
    )
  }
  if (values.has("--help")) return { _tag: "Print", text: help }
  if (values.has("--version")) return { _tag: "Print", text: `${version}\n` }
  return { _tag: "Serve", https: values.has("--https") }
}

const parseCommand = (command: Command, args: ReadonlyArray<string>): CommandLine => {
  const given = readOptions(command.options, args)
  const { failedStatus } = command
  if (Result.isFailure(given)) return mistake(given.failure, command.usage, failedStatus)
  const { rest, values } = given.success
  if (values.has("--help")) return { _tag: "Print", text: helpOf(command) }
  const task = command.read(values, rest)
  return Result.isFailure(task) ? mistake(task.failure, command.usage, failedStatus) : task.success
}
