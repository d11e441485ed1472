import { Result } from "effect"
import { helpOption, jsonOption, type OptionSpec } from "./CommandOptions.ts"
import type { Question } from "./running/AskRunning.ts"

/** What a command is to do, with what was given. */
export type Task =
  | { readonly _tag: "Finalise" }
  | { readonly _tag: "Doctor"; readonly json: boolean; readonly write: boolean }
  | {
      readonly _tag: "Ask"
      readonly question: Question
      readonly url: string | undefined
      readonly secret: string | undefined
      readonly json: boolean
    }
  | {
      readonly _tag: "Verify"
      /** As the API has it. */
      readonly query: Readonly<Record<string, string>>
      readonly stop: boolean
      readonly url: string | undefined
      readonly secret: string | undefined
      readonly json: boolean
    }

/** A word behind `baton`. */
export interface Command {
  readonly name: string
  readonly usage: ReadonlyArray<string>
  /** In the list of commands. */
  readonly about: string
  /** On its own page. */
  readonly help: string
  readonly options: ReadonlyArray<OptionSpec>
  /** Of a command line that cannot be read, where 1 says something else. */
  readonly failedStatus?: number
  /** The failure says what cannot be done with what was given. */
  readonly read: (
    values: ReadonlyMap<string, string>,
    rest: ReadonlyArray<string>
  ) => Result.Result<Task, string>
}

const runningOptions: ReadonlyArray<OptionSpec> = [
  {
    name: "--url",
    value: "URL",
    about: "where the service is (http://localhost, and ELECTRIC_PORT or 3000)"
  },
  {
    name: "--secret",
    value: "SECRET",
    about: "its secret (ELECTRIC_SECRET, which other users of this machine do not see)"
  }
]

const listOptions: ReadonlyArray<OptionSpec> = [
  { name: "--search", value: "TEXT", about: "only shapes with this in handle, table or condition" },
  {
    name: "--evaluation",
    value: "CLASS",
    about: "only those of this class: all, indexed, evaluated, postgres, unknown"
  },
  {
    name: "--sort",
    value: "BY",
    about: "created, lastRead, bytes, changes, dirty, readers or table; with a - before it the largest first"
  },
  { name: "--page", value: "N", about: "which page of the list, from 1" },
  { name: "--limit", value: "N", about: "shapes on a page (50)" }
]

const nothingElse = (rest: ReadonlyArray<string>, task: Task): Result.Result<Task, string> =>
  rest[0] === undefined ? Result.succeed(task) : Result.fail(`Unknown argument ${JSON.stringify(rest[0])}`)

const asking = (values: ReadonlyMap<string, string>, question: Question): Task => ({
  _tag: "Ask",
  question,
  url: values.get("--url"),
  secret: values.get("--secret"),
  json: values.has("--json")
})

const readShapes: Command["read"] = (values, [action = "list", handle, ...rest]) => {
  const [extra] = action === "list" && handle !== undefined ? [handle] : rest
  if (extra !== undefined) return Result.fail(`Unknown argument ${JSON.stringify(extra)}`)
  if (action === "list") {
    const given = listOptions.flatMap(({ name }) => {
      const value = values.get(name)
      return value === undefined ? [] : [[name.slice(2), value] as const]
    })
    return Result.succeed(asking(values, { _tag: "List", query: Object.fromEntries(given) }))
  }
  if (action !== "show" && action !== "delete")
    return Result.fail(`Unknown argument ${JSON.stringify(action)}: list, show and delete are known`)
  const unfit = listOptions.find(({ name }) => values.has(name))
  if (unfit !== undefined) return Result.fail(`${unfit.name} is an option of the list`)
  if (handle === undefined) return Result.fail(`Which shape? baton shapes ${action} HANDLE`)
  return Result.succeed(asking(values, { _tag: action === "show" ? "Show" : "Delete", handle }))
}

const verifyOptions: ReadonlyArray<OptionSpec> = [
  { name: "--shape", value: "HANDLE", about: "only this shape" },
  { name: "--table", value: "TABLE", about: "only shapes on this table, as SCHEMA.NAME or NAME" },
  { name: "--all", about: "all shapes, as without --shape and --table" },
  { name: "--rate", value: "N", about: "rows that are read in a second at most (10000)" },
  { name: "--repair", about: "bring all shapes to what Postgres has, if something differs" },
  { name: "--stop", about: "stop the comparison that is under way" }
]

const readVerify: Command["read"] = (values, rest) => {
  const given = ["--shape", "--table", "--all"].filter((name) => values.has(name))
  if (given.length > 1) return Result.fail(`${given.join(" and ")} do not go together`)
  if (values.has("--stop") && (given.length > 0 || values.has("--repair") || values.has("--rate")))
    return Result.fail("--stop goes with nothing else")
  const named = ["--shape", "--table", "--rate"].flatMap((name) => {
    const value = values.get(name)
    return value === undefined ? [] : [[name.slice(2), value] as const]
  })
  return nothingElse(rest, {
    _tag: "Verify",
    query: Object.fromEntries([...named, ...(values.has("--repair") ? [["repair", "true"] as const] : [])]),
    stop: values.has("--stop"),
    url: values.get("--url"),
    secret: values.get("--secret"),
    json: values.has("--json")
  })
}

/** All of them, in the order of the help. */
export const commands: ReadonlyArray<Command> = [
  {
    name: "doctor",
    usage: ["baton doctor [--json] [--write]"],
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
    read: (values, rest) =>
      nothingElse(rest, { _tag: "Doctor", json: values.has("--json"), write: values.has("--write") })
  },
  {
    name: "status",
    usage: ["baton status [--url=URL] [--secret=SECRET] [--json]"],
    about: "ask a running service how it is: instances, slot, lag, faults",
    help: `Shows all instances of a running service on one screen: who is active and who waits, the replication slot, what comes in and goes out,
long work, and faults that last, each with what to do. Its exit status is 1 when the service does not answer.`,
    options: [...runningOptions, jsonOption, helpOption],
    read: (values, rest) => nothingElse(rest, asking(values, { _tag: "Status" }))
  },
  {
    name: "shapes",
    usage: [
      "baton shapes [list] [--search=TEXT] [--sort=BY] [--page=N] [--url=URL] [--json]",
      "baton shapes show HANDLE [--url=URL] [--json]",
      "baton shapes delete HANDLE [--url=URL] [--json]"
    ],
    about: "list, show or delete the shapes of a running service",
    help: `Lists the shapes of a running service, shows one of them in depth, or deletes one: its clients begin anew by themselves. Only the active
instance deletes.`,
    options: [...listOptions, ...runningOptions, jsonOption, helpOption],
    read: readShapes
  },
  {
    name: "verify",
    usage: [
      "baton verify [--shape=HANDLE | --table=TABLE | --all] [--rate=N] [--repair] [--url=URL] [--json]",
      "baton verify --stop [--url=URL]"
    ],
    about: "compare shapes of a running service with the database",
    help: `Has the active instance compare what readers of shapes hold with what Postgres has, while it serves: table by table, each at one point of
the WAL. Says which rows differ, and what the log said of them last. Its exit status is 0 when nothing differs, 1 when something does
(with --repair too, although it is mended then), and 2 when it could not be compared.`,
    failedStatus: 2,
    options: [...verifyOptions, ...runningOptions, jsonOption, helpOption],
    read: readVerify
  },
  {
    name: "finalise",
    usage: ["baton finalise"],
    about: "say that no older release will be brought back",
    help: `Run it with the variables of the service, when no older release will be brought back: what is stored gets the form of this release as
soon as no older instance is there (docs/upgrade.md). It waits for that, and says what for.`,
    options: [helpOption],
    read: (_, rest) => nothingElse(rest, { _tag: "Finalise" })
  }
]
