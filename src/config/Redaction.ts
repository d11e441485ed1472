/** What stands where a secret stood. */
export const placeholder = "[REDACTED]"

/** A value whose name has one of these words gives access to something. */
const secretWords = new Set(["secret", "token", "password", "apikey"])

const unescaped = (name: string): string =>
  name.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

/**
 * Does a value of this name have to be hidden: of a query parameter, a connection option, an annotation of the log? It
 * may be percent-encoded, twice too, stand in brackets (`params[secret]`), behind a prefix (`subset__secret`), beside
 * characters that mean nothing, or be written in any case: people who misspell it send the right value.
 */
export const isSecretName = (name: string): boolean => {
  let plain = name
  for (let i = 0; i < 3 && plain.includes("%"); i++) plain = unescaped(plain)
  const words = plain
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
  return words.some((word, i) => secretWords.has(word) || (word === "api" && words[i + 1] === "key"))
}

/** The start of `name=value`. Longer names would be looked through again from each of their brackets. */
const assignment = /(?:^|[?&;,\s"'`({[=])([A-Za-z_%][\w%[\].-]{0,99})=/g

/** An optionally quoted value. An unquoted one ends only at `&` or white space: it may hold quotes. */
const value = /("[^"]*"|'[^']*')?[^&\s]*/y

const redactAssignments = (text: string): string => {
  let result = ""
  let copied = 0
  assignment.lastIndex = 0
  for (let found = assignment.exec(text); found !== null; found = assignment.exec(text)) {
    const start = assignment.lastIndex
    if (isSecretName(found[1] ?? "")) {
      value.lastIndex = start
      value.exec(text)
      result += text.slice(copied, start) + placeholder
      copied = assignment.lastIndex = value.lastIndex
    } else {
      // The value may itself hold assignments, and this `=` may be what stands before the next name.
      assignment.lastIndex = start - 1
    }
  }
  return result + text.slice(copied)
}

/** `scheme://user:password@`; the match is greedy, as a password may hold an unescaped `@`. */
const passwordInUrl = /\b([a-z][a-z0-9+.-]*:\/\/[^\s:@/?#]*):[^\s/?#]*@/gi

/** For Postgres URLs also passwords with unescaped `/`, `?` or `#`: better too much hidden than a piece shown. */
const passwordInPostgresUrl = /\b(postgres(?:ql)?:\/\/[^\s:@/?#]*):[^\s]*@/gi

/**
 * Removes the values of secret parameters and the passwords in URLs from any text, so that it can be logged or shown.
 * Works on plain text, not only on well-formed URLs. Hides rather too much than too little.
 */
export const redact = (text: string): string => {
  let result = text
  if (result.includes("://")) {
    result = result
      .replace(passwordInPostgresUrl, `$1:${placeholder}@`)
      .replace(passwordInUrl, `$1:${placeholder}@`)
  }
  return result.includes("=") ? redactAssignments(result) : result
}
