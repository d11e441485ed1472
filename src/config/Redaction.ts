/** What stands where a secret stood. */
const placeholder = "[REDACTED]"

/** Names of query parameters, connection options and log annotations whose value gives access to something. */
const secretNames = new Set(["secret", "api_secret", "token", "access_token", "api_key", "password"])

/** Does a value of this name have to be hidden? The name may be percent-encoded, as servers decode it as well. */
export const isSecretName = (name: string): boolean => {
  const lower = name.toLowerCase()
  if (!lower.includes("%")) return secretNames.has(lower)
  try {
    return secretNames.has(decodeURIComponent(lower))
  } catch {
    return false
  }
}

/** The start of `name=value`. */
const assignment = /(?:^|[?&;,\s"'`({[=])([A-Za-z_%][\w%]*)=/g

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
