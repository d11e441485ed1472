import type { Codec } from "./Codec.ts"
import { fail } from "./Failure.ts"
import { spend } from "./Work.ts"

/** Reads `(a,"b c",)`: an empty field is NULL, `""` is the empty string. */
export const parseComposite = (text: string, fields: ReadonlyArray<Codec>): ReadonlyArray<unknown> => {
  const malformed = (): never => fail(`malformed record literal: "${text}"`)
  spend(text.length * 2)
  const source = text.trim()
  if (!source.startsWith("(")) return malformed()
  let at = 1
  const values: Array<unknown> = []
  if (fields.length === 0) return source === "()" ? values : malformed()
  for (const [i, field] of fields.entries()) {
    let value = ""
    let seen = false
    let quoted = false
    for (;;) {
      const character = source[at]
      if (character === undefined) return malformed()
      if (!quoted && (character === "," || character === ")")) break
      at++
      seen = true
      if (character === "\\") {
        const escaped = source[at++]
        if (escaped === undefined) return malformed()
        value += escaped
      } else if (character === '"') {
        if (quoted && source[at] === '"') {
          value += '"'
          at++
        } else quoted = !quoted
      } else value += character
    }
    if (source[at++] !== (i === fields.length - 1 ? ")" : ",")) return malformed()
    values.push(seen ? field.read(value) : null)
  }
  return at === source.length ? values : malformed()
}

export const printComposite = (values: ReadonlyArray<unknown>, fields: ReadonlyArray<Codec>): string =>
  `(${values
    .map((value, i) => {
      if (value === null) return ""
      const text = fields[i]?.write(value) ?? ""
      spend(text.length)
      return text === "" || /["\\(),\s]/.test(text) ? `"${text.replaceAll(/["\\]/g, "$&$&")}"` : text
    })
    .join(",")})`
