import { Redacted, Result } from "effect"
import type { DatabaseTarget } from "./BatonConfig.ts"
import type { Kind } from "./Kind.ts"

const sslModes = ["disable", "allow", "prefer", "require"] as const

const isSslMode = (value: string): value is DatabaseTarget["sslMode"] =>
  sslModes.some((mode) => mode === value)

/** Scheme, authority (up to the path, query or end), path, query. Every text matches from `://` on. */
const parts = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#.*)?$/s

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const unescapedCharacters =
  "characters such as @ / ? # % in a user name or password must be percent-encoded, @ as %40 for example"

/**
 * Reads a Postgres URL; blanks around it do not count. `sslmode` defaults to `prefer`, the port to 5432, the database to the user name; other query
 * parameters are ignored. A reason never shows more of the URL than its scheme or its `sslmode`, since any other part
 * may turn out to be a piece of a password.
 * Source: Postgres docs, "Connection URIs".
 */
export const parseDatabaseUrl = (given: string): Result.Result<DatabaseTarget, string> => {
  // A secret that was written with `echo` ends with a line break.
  const match = parts.exec(given.trim())
  const scheme = match?.[1] ?? ""
  if (match === null || (scheme !== "postgres" && scheme !== "postgresql")) {
    return Result.fail(
      `invalid URL scheme: "${scheme}" (expected postgresql://user:password@host:5432/database)`
    )
  }
  const authority = match[2] ?? ""
  const at = authority.lastIndexOf("@")
  const userInfo = at < 0 ? "" : authority.slice(0, at)
  const address = authority.slice(at + 1)

  if (address.includes(",")) {
    return Result.fail(
      "several hosts are not supported: name the primary, or one name that always leads to it (your provider's endpoint, a " +
        "DNS name, HAProxy)"
    )
  }
  const hostAndPort = /^(\[[0-9A-Fa-f:.%]*\]|[^:]*)(?::(.*))?$/s.exec(address)
  const host = decoded((hostAndPort?.[1] ?? "").replace(/^\[(.*)\]$/, "$1"))
  if (address === "" || host === undefined || host === "") return Result.fail("missing host")

  const colon = userInfo.indexOf(":")
  const username = decoded(colon < 0 ? userInfo : userInfo.slice(0, colon))
  if (username === undefined || username === "") {
    return Result.fail(`invalid or missing username (${unescapedCharacters})`)
  }
  const password = decoded(colon < 0 ? "" : userInfo.slice(colon + 1))
  if (password === undefined) return Result.fail(`invalid password (${unescapedCharacters})`)

  const portText = hostAndPort?.[2] ?? ""
  const port = portText === "" ? 5432 : /^\d{1,5}$/.test(portText) ? Number(portText) : NaN
  if (!(port >= 1 && port <= 65_535)) {
    return Result.fail(`invalid port, expected a number from 1 to 65535 (${unescapedCharacters})`)
  }
  const database = decoded(match[3] ?? "")
  if (database === undefined) return Result.fail("invalid percent-encoding in the database name")

  const query = new URLSearchParams(match[4] ?? "")
  if (query.has("replication")) {
    return Result.fail(
      'unsupported "replication" query option: replication and ordinary connections are both opened as needed'
    )
  }
  const sslMode = query.get("sslmode") ?? "prefer"
  if (sslMode === "verify-ca" || sslMode === "verify-full") {
    return Result.fail(
      `unsupported "sslmode" value "${sslMode}". Use sslmode=require and set ELECTRIC_DATABASE_CA_CERTIFICATE_FILE, ` +
        "which makes the service verify the server's certificate and host name"
    )
  }
  if (!isSslMode(sslMode)) {
    return Result.fail(`invalid "sslmode" value: "${sslMode}" (expected one of ${sslModes.join(", ")})`)
  }
  return Result.succeed({
    host,
    port,
    database: database === "" ? username : database,
    username,
    password: password === "" ? undefined : Redacted.make(password),
    sslMode
  })
}

export const databaseUrl: Kind<DatabaseTarget> = {
  accepts: "a URL such as postgresql://user:password@host:5432/database?sslmode=require",
  parse: parseDatabaseUrl
}
