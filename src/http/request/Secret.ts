import { createHash, timingSafeEqual } from "node:crypto"
import { Redacted } from "effect"

const digest = (text: string): Buffer => createHash("sha256").update(text, "utf8").digest()

/**
 * Checks the secret of a query string. Both sides are hashed to one length and compared in constant time, so
 * neither content nor length of the secret shows in how long the answer takes. Without a secret everything passes.
 */
export const makeSecretCheck = (
  secret: Redacted.Redacted<string> | undefined
): ((query: Readonly<Record<string, unknown>>) => boolean) => {
  if (secret === undefined) return () => true
  const expected = digest(Redacted.value(secret))
  return (query) => {
    // A `secret` that is there, even an empty one, hides `api_secret`.
    const given = query["secret"] ?? query["api_secret"]
    return typeof given === "string" && timingSafeEqual(digest(given), expected)
  }
}
