import { Result } from "effect"
import { nearestName } from "../shared/NearestName.ts"
import { helpOption, jsonOption, optionLines, type OptionSpec, readOptions } from "./CommandOptions.ts"

/** What the command line asks for. What the service is to do is said by environment variables; these are for people. */
type CommandLine =
  | { readonly _tag: "Serve"; readonly https: boolean }
  | { readonly _tag: "Finalise" }
  | { readonly _tag: "Doctor"; readonly json: boolean; readonly write: boolean }
  | { readonly _tag: "Print"; readonly text: string }
  | { readonly _tag: "Mistake"; readonly message: string }

const serveOptions: ReadonlyArray<OptionSpec> = [
  {
    name: "--https",
    about: "serve HTTPS and HTTP/2 with a certificate that is made for localhost (for development)"
  },
  { name: "--version", about: "print the version" },
  helpOption
]

/** A word behind `baton`. */
interface Command {
  readonly name: string
  readonly usage: string
  /** In the list of commands. */
  readonly about: string
  /** On its own page. */
  readonly help: string
  readonly options: ReadonlyArray<OptionSpec>
  readonly read: (values: ReadonlyMap<string, string>, rest: ReadonlyArray<string>) => CommandLine
}

const commands: ReadonlyArray<Command> = [
  {
    name: "doctor",
    usage: "baton doctor [--json] [--write]",
    about: "look at database, storage and bucket as the service would, and say what is wrong",
    help: `Run it with the variables of the service, before its first start or when something is wrong. It connects as the service would, changes
nothing, and says what is well, what could be better and what does not work, with the SQL that mends it, and what a start would do to
the database. Its exit status is 0 when there is no problem, 1 when there is one, and 2 when it has nothing to look at.`,
    options: [
      {
        name: "--write",
        about: "also write to storage and the bucket, as a start does, and remove it again"
      },
      jsonOption,
      helpOption
    ],
    read: (values) => ({ _tag: "Doctor", json: values.has("--json"), write: values.has("--write") })
  },
  {
    name: "finalise",
    usage: "baton finalise",
    about: "say that no older release will be brought back",
    help: `Run it with the variables of the service, when no older release will be brought back: what is stored gets the form of this release as
soon as no older instance is there (docs/upgrade.md). It waits for that, and says what for.`,
    options: [helpOption],
    read: () => ({ _tag: "Finalise" })
  }
]

const usage = [
  `baton [${serveOptions.map(({ name }) => name).join(" | ")}]`,
  ...commands.map((command) => command.usage)
]

const usageLines = (lines: ReadonlyArray<string>): string =>
  lines.map((line, i) => `${i === 0 ? "usage: " : "       "}${line}`).join("\n")

const help = `${usageLines(usage)}

Syncs shapes of a Postgres database to clients over HTTP. Everything is configured by environment variables:

  DATABASE_URL           the database to replicate from; unset: a development database, where one is installed
  ELECTRIC_SECRET        every request for a shape has to carry it (or ELECTRIC_INSECURE=true)
  ELECTRIC_PORT          port of the HTTP API (3000)
  ELECTRIC_STORAGE_DIR   where shapes are kept (./persistent)

docs/configuration.md lists all of them.

commands, of which "baton <command> --help" tells more:
${commands.map(({ about, name }) => `  ${name.padEnd(11)} ${about}`).join("\n")}

options:
${optionLines(serveOptions)}
`

const helpOf = ({ help: text, options, usage: line }: Command): string =>
  `usage: ${line}\n\n${text}\n\noptions:\n${optionLines(options)}\n`

const mistake = (message: string, lines: ReadonlyArray<string>): CommandLine => ({
  _tag: "Mistake",
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
  if (Result.isFailure(given)) return mistake(given.failure, [command.usage])
  const { rest, values } = given.success
  if (values.has("--help")) return { _tag: "Print", text: helpOf(command) }
  const [unknown] = rest
  if (unknown !== undefined) return mistake(`Unknown argument ${JSON.stringify(unknown)}`, [command.usage])
  return command.read(values, rest)
}
