/**
 * Reads the TOML that our deployment examples are written in, and refuses all other: tables, lists of tables, and keys whose
 * value is on the same line. Strings in single quotes are taken as they are, everything else is JSON.
 */
export interface Toml {
  readonly [key: string]: TomlValue
}
type TomlValue = string | number | boolean | ReadonlyArray<TomlValue> | Toml

type Table = Record<string, TomlValue>

export const parseToml = (source: string): Toml => {
  const root: Table = {}
  let here = root
  for (const [i, raw] of source.split("\n").entries()) {
    const line = raw.trim()
    if (line === "" || line.startsWith("#")) continue
    const [, open, names, close] = /^(\[{1,2})([\w.]+)(\]{1,2})$/.exec(line) ?? []
    const [, key, value] = /^(\w+) = (.+)$/.exec(line) ?? []
    if (names !== undefined && open?.length === close?.length) here = tableAt(root, names, open === "[[")
    else if (key !== undefined && value !== undefined) here[key] = valueOf(value, i + 1)
    else throw new Error(`Line ${i + 1} uses TOML that this reader does not know: ${line}`)
  }
  return root
}

const tableAt = (root: Table, names: string, isItem: boolean): Table => {
  let here = root
  const path = names.split(".")
  const last = path.pop() ?? ""
  for (const name of path) here = (here[name] ??= {}) as Table
  const table: Table = {}
  here[last] = isItem ? [...((here[last] ?? []) as ReadonlyArray<TomlValue>), table] : table
  return table
}

const valueOf = (text: string, line: number): TomlValue => {
  try {
    return JSON.parse(text.replaceAll(/'([^']*)'/g, (_, inner: string) => JSON.stringify(inner))) as TomlValue
  } catch {
    throw new Error(`Line ${line} has a value that is not JSON: ${text}`)
  }
}
