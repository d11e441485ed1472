import { parseArgs } from "node:util"
import { Result } from "effect"
import { nearestName } from "../shared/NearestName.ts"

/** An option of a command. */
export interface OptionSpec {
  /** With its dashes. */
  readonly name: string
  /** What stands for its value in the help; absent: it has none. */
  readonly value?: string
  readonly about: string
}

interface GivenOptions {
  /** By name with dashes; those without a value have the empty text. */
  readonly values: ReadonlyMap<string, string>
  /** What is no option, in order. */
  readonly rest: ReadonlyArray<string>
}

export const helpOption: OptionSpec = { name: "--help", about: "print this" }
export const jsonOption: OptionSpec = { name: "--json", about: "print JSON, for programs" }

/** Reads what stands behind the name of a command; the failure names what is not known. `-h` is `--help`. */
export const readOptions = (
  specs: ReadonlyArray<OptionSpec>,
  args: ReadonlyArray<string>
): Result.Result<GivenOptions, string> => {
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(
      specs.map(({ name, value }) => [
        name.slice(2),
        {
          type: value === undefined ? ("boolean" as const) : ("string" as const),
          ...(name === helpOption.name ? { short: "h" } : {})
        }
      ])
    )
  })
  const values = new Map<string, string>()
  const rest: Array<string> = []
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value)
    if (token.kind !== "option") continue
    const name = token.rawName.startsWith("--") ? token.rawName : `--${token.name}`
    const spec = specs.find((known) => known.name === name)
    if (spec === undefined) return Result.fail(unknownOption(token.rawName, token.value, specs))
    if (spec.value === undefined && token.value !== undefined) return Result.fail(`${name} takes no value`)
    if (spec.value !== undefined && token.value === undefined)
      return Result.fail(`${name} needs a value: ${name}=${spec.value}`)
    values.set(name, token.value ?? "")
  }
  return Result.succeed({ values, rest })
}

const unknownOption = (
  given: string,
  value: string | undefined,
  specs: ReadonlyArray<OptionSpec>
): string => {
  const near = nearestName(
    given,
    specs.map(({ name }) => name)
  )
  return `Unknown option ${JSON.stringify(value === undefined ? given : `${given}=${value}`)}${near === undefined ? "" : `; did you mean ${near}?`}`
}

/** The options as a help text lists them. */
export const optionLines = (specs: ReadonlyArray<OptionSpec>): string => {
  const shown = specs.map(
    ({ about, name, value }) => [value === undefined ? name : `${name}=${value}`, about] as const
  )
  const width = Math.max(...shown.map(([name]) => name.length))
  return shown.map(([name, about]) => `  ${name.padEnd(width)}  ${about}`).join("\n")
}
