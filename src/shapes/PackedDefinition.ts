import type { ShapeDefinition } from "./ShapeDefinition.ts"
import { isStoredExpression } from "../where/index.ts"
import { type DefinitionTemplate, definitionOf, templateFor } from "./InternDefinition.ts"

/** The constants of a clause; one alone stands without a list. */
type Constants = string | ReadonlyArray<string>

const noConstants: ReadonlyArray<string> = []

/**
 * A definition in little memory: there is one for every shape, and nearly all of it is that of many others. What is
 * shared stands in the template; a caller that asks for the whole is given a new object with the same content.
 */
export interface PackedDefinition {
  readonly template: DefinitionTemplate
  /** `undefined` when the template holds the clause, or there is none. */
  readonly sql: string | undefined
  readonly constants: Constants
}

/** The text in memory of its own: part of a longer one, as those of a request are, it would keep all of that. */
const ownText = (text: string): string =>
  text.isWellFormed() ? Buffer.from(text, "utf8").toString("utf8") : text

const pack = (texts: ReadonlyArray<string>): Constants => {
  const [first] = texts
  if (first === undefined) return noConstants
  return texts.length === 1 ? ownText(first) : texts.map(ownText)
}

export const packDefinition = (interned: ShapeDefinition): PackedDefinition => {
  const template = templateFor(interned)
  const { where } = interned
  return template.form === undefined || where === undefined || !isStoredExpression(where.expression)
    ? { template, sql: undefined, constants: noConstants }
    : { template, sql: ownText(where.sql), constants: pack(where.expression.constants) }
}

/** The very content that was packed. */
export const unpackDefinition = ({ constants, sql, template }: PackedDefinition): ShapeDefinition =>
  sql === undefined
    ? template.common
    : definitionOf(template, sql, typeof constants === "string" ? [constants] : constants)
