/**
 * Writes `docs/configuration.md` and `docs/limits.md` from the tables that the configuration is parsed with:
 * `npx node scripts/config-table.ts`.
 */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { acceptedVariables } from "../src/config/AcceptedVariables.ts"
import { limits, type Limit } from "../src/config/Limits.ts"
import { groups, type Variable } from "../src/config/Variable.ts"
import { variables } from "../src/config/Variables.ts"

const inDocs = (name: string): string => path.join(import.meta.dirname, "..", "docs", name)

export const documentPath = inDocs("configuration.md")
export const limitsPath = inDocs("limits.md")

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ")

const code = (text: string): string => (text === "-" ? "-" : `\`${text}\``)

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

const table = (heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [heads, heads.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")

const all: ReadonlyArray<Variable<unknown>> = [
  ...Object.values(variables),
  ...Object.values(limits),
  ...acceptedVariables
]

const having = (tag: Variable<unknown>["treatment"]["_tag"]) => all.filter((it) => it.treatment._tag === tag)

/** The whole document, as it should be in the file. */
export const configurationDocument = (): string => `# Configuration

<!-- Made by scripts/config-table.ts from src/config: change it there. -->

Everything is set by environment variables. A value that cannot be used ends the start: one message lists every such
variable, what it was set to (unless it may be secret) and what it accepts. A variable whose name starts with
\`ELECTRIC_\` or \`BATON_\` and that is not on this page is probably misspelt, and gets a warning.

Kinds of values:

- **true or false**: \`true\`, \`false\`, \`1\`, \`0\`, in upper or lower case; empty is false. Anything else, \`no\` for
  example, is an error and not a way to say true.
- **time**: a number and a unit, \`ms\` or \`msec\`, \`s\` or \`sec\`, \`m\` or \`min\`; without a unit it is milliseconds.
- **size**: a number and a unit, \`KB MB GB\` (powers of 1000) or \`KiB MiB GiB\` (powers of 1024); without a unit it is bytes.

${groups
  .map((group) => {
    const rows = having("Implemented").filter((it) => it.group === group)
    return `## ${group}\n\n${table(
      ["Variable", "Default", "Meaning", "Accepts"],
      rows.map((it) => [code(it.name), code(it.standard), it.about, it.kind.accepts])
    )}`
  })
  .join("\n\n")}

## Accepted and ignored

Variables of Electric that have no meaning here. A deployment that sets them starts, with a warning for each.

${table(
  ["Variable", "Why it is ignored"],
  having("Ignored").map((it) => [
    code(it.name),
    it.treatment._tag === "Ignored" ? sentence(it.treatment.why) : ""
  ])
)}
`

const aboveIt = ({ above }: Limit): string => {
  if (above._tag === "Refused") return `refused with ${above.status}`
  if (above._tag === "Dropped") return "that shape is dropped; its clients fetch it again"
  return above.what
}

/** The whole document, as it should be in the file. */
export const limitsDocument = (): string => `# Limits

<!-- Made by scripts/config-table.ts from src/config/Limits.ts: change it there. -->

A client that may send a request may ask for much. Each thing that can be asked for has a budget, so that no request, and no
condition of a shape, takes the service away from others. Whatever is above a budget is refused before anything is made
for it, is done in a slower way that is bounded, or costs the shape that asked for it, never another one. The message
says which limit it was, its value and its variable; what is dropped is in the log with the same words.

${table(
  ["What is limited", "Default", "Variable", "Above it", "Why one would change it"],
  Object.values(limits).map((it: Limit) => [
    it.subject,
    it.standard,
    code(it.name),
    aboveIt(it),
    it.about.slice(it.subject.length + 2)
  ])
)}

## What Postgres itself has to bear

First rows and subsets are queries with the client's condition, and rows that no condition here can decide are judged by
Postgres as well. What a condition makes of its constants alone is measured before (\`BATON_MAX_CLAUSE_VALUE\`), but a value
that grows with the row is made: \`lpad(title, width)\` with a column \`width\`, or whatever a function of the database's own
does. Postgres lets no value be larger than 1 GB, and frees it after the row; an expression may hold several of them at
once, in as many backends as there are connections for rows (\`ELECTRIC_DB_POOL_SIZE\`). Memory is not bounded by anything
that Baton could set. Time is: for a subset, for what rows are asked about one by one, and until the first of the first rows
arrives. How long the rest of the first rows takes is not, as the table may be large; a query that keeps others waiting for its
connection gives way to them. Where clients choose conditions freely, and a table has rows whose numbers they can use like
that, the database's own means help:

- \`REVOKE EXECUTE ON FUNCTION lpad(text, integer, text), lpad(text, integer), rpad(text, integer, text), rpad(text, integer),
  repeat(text, integer) FROM PUBLIC\`, and \`GRANT\` it to the roles that need it. A shape or subset whose condition has one of them is then refused
  with 400 (where Postgres speaks another language than English, with 503 and the same words). A superuser may execute
  everything, so this has an effect only if Baton's role is none.
- \`ALTER ROLE … SET statement_timeout\` for Baton's role: a shorter one than Baton's own stays in force.
- A limit on the memory of the server (a container's, or \`vm.overcommit_memory = 2\`), so that a backend gets an error
  instead of the system ending it; that error is the client's, and nothing else is.
- Conditions of your own making instead: let a proxy or the \`authorize\` hook say what may be asked.
`

if (import.meta.main) {
  for (const [file, text] of [
    [documentPath, configurationDocument()],
    [limitsPath, limitsDocument()]
  ] as const) {
    writeFileSync(file, text)
    process.stdout.write(`Wrote ${file}\n`)
  }
}
