import type { WhereClause } from "../../where/index.ts"

/** Proxies refuse heads that are too long, and a clause can be 64 KiB of text. */
const maxReasonChars = 400

const none: ReadonlyArray<string> = []
const made = new WeakMap<WhereClause, ReadonlyArray<string>>()

/** What may stand in a header, whatever names and constants the clause has: other characters become a question mark. */
const headerText = (text: string): string => {
  const shown = text.length > maxReasonChars ? `${text.slice(0, maxReasonChars - 3)}...` : text
  return shown
    .replace(/\s+/g, " ")
    .replace(/[^\x20-\x7e]/g, "?")
    .trim()
}

/**
 * Names and values of the headers that tell an operator what a change costs under this clause: `baton-where` is its
 * class, `baton-where-reason` says why. Made once per clause.
 */
export const whereHeaders = (where: WhereClause | undefined): ReadonlyArray<string> => {
  if (where?.classification === undefined) return none
  const known = made.get(where)
  if (known !== undefined) return known
  const reason = headerText(where.reason ?? "")
  const headers = ["baton-where", where.classification]
  if (reason !== "") headers.push("baton-where-reason", reason)
  made.set(where, headers)
  return headers
}
