import { Result } from "effect"
import type { AuthorizedShape, HookParameter } from "./Authorize.ts"
import type { ShapeSelection } from "../request/ShapeParams.ts"

type Given = Partial<Record<keyof ShapeSelection, unknown>>

const members = ["table", "where", "params", "columns", "queryable_columns", "replica", "log"] as const
const replicas: ReadonlyArray<unknown> = [undefined, "default", "full"]
const logs: ReadonlyArray<unknown> = [undefined, "full", "changes_only"]

const isText = (value: unknown): boolean => value === undefined || typeof value === "string"

const isTexts = (value: unknown): boolean => isText(value) || (Array.isArray(value) && value.every(isName))
const isName = (value: unknown): boolean => typeof value === "string"

const isParameter = (value: unknown): value is HookParameter =>
  typeof value === "string" ||
  typeof value === "bigint" ||
  typeof value === "boolean" ||
  (typeof value === "number" && Number.isFinite(value))

/** What is wrong with a hook's answer, but for its parameters: the types say it, but hooks may be written in JavaScript. */
const problemOf = (given: Given): string | undefined => {
  const { columns, log, queryable_columns, replica, table, where } = given
  // A misspelt `where` would give out the whole table.
  const unknown = Object.keys(given).find((name) => !(members as ReadonlyArray<string>).includes(name))
  if (unknown !== undefined)
    return `it returned ${JSON.stringify(unknown)}, which no shape has: ${members.join(", ")} are known`
  if (!isText(table)) return "table must be a text, or left out"
  if (!isText(where)) return "where must be a text, or left out"
  if (typeof where === "string" && where.trim() === "")
    return "where is empty: leave it out for all rows, or return 'false' for none"
  if (!isTexts(columns) || !isTexts(queryable_columns))
    return "columns and queryable_columns must be texts, or lists of texts"
  if (!replicas.includes(replica)) return "replica must be 'default' or 'full', or left out"
  return logs.includes(log) ? undefined : "log must be 'full' or 'changes_only', or left out"
}

/** Numbers are what identifiers usually are in a program; texts are what the protocol has. */
const parametersOf = (given: unknown): Result.Result<Readonly<Record<string, string>>, string> => {
  if (typeof given !== "object" || given === null)
    return Result.fail("params must be an object with the numbers of $1, $2 … as names, or a list")
  const entries = Array.isArray(given)
    ? given.map((value: unknown, i) => [String(i + 1), value] as const)
    : Object.entries(given)
  const parameters: Record<string, string> = {}
  for (let i = 0; i < entries.length; i++) {
    const [name, value] = entries[i] ?? ["", undefined]
    if (!Array.isArray(given) && !(String(i + 1) in given))
      return Result.fail(`params must be numbered from 1 on without a gap: "${i + 1}" is not among them`)
    if (!isParameter(value))
      return Result.fail(`params: $${name} must be a text, a number or a boolean, and is ${described(value)}`)
    parameters[name] = String(value)
  }
  return Result.succeed(parameters)
}

const described = (value: unknown): string =>
  value === null || typeof value !== "object" ? String(value) : `a ${value.constructor?.name ?? "object"}`

/** The shape that a hook's answer means, or what is wrong with the answer, for the log. `asked` is what the client asked for. */
export const hookAnswer = (
  answer: AuthorizedShape,
  asked: ShapeSelection
): Result.Result<ShapeSelection, string> => {
  if (typeof answer !== "object" || answer === null) return Result.fail("it returned no shape")
  if (answer instanceof Response) return Result.fail("it returned a Response: throw it, to refuse")
  const problem = problemOf(answer)
  if (problem !== undefined) return Result.fail(problem)
  const { params, ...rest } = answer
  // The client's own are checked like those of any request.
  if (params === undefined || params === asked.params)
    return Result.succeed(params === undefined ? rest : { ...rest, params: asked.params })
  return Result.map(parametersOf(params), (parameters) => ({ ...rest, params: parameters }))
}
