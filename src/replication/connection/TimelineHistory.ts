import { Effect } from "effect"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { parseLsn, type ServerLsn } from "../../shared/Lsn.ts"
import type { TextRow } from "./ReplicationSession.ts"

/**
 * Where a timeline was left by the ones that came after it, as the file of a later timeline's history says: its lines have a timeline,
 * the position at which it was left, and why, from the oldest on. Undefined where it is none of its ancestors.
 * Source: PostgreSQL documentation, "Timelines" in "Continuous Archiving and Point-in-Time Recovery".
 */
const leftAt = (history: string, timeline: number): ServerLsn | undefined => {
  for (const line of history.split("\n")) {
    const [of, position] = line.trim().split(/\s+/)
    if (of === String(timeline)) return parseLsn(position ?? "")
  }
  return undefined
}

/** The content of the file may come as Postgres writes bytes. */
const textOf = (content: string): string =>
  content.startsWith(String.raw`\x`) ? Buffer.from(content.slice(2), "hex").toString("utf8") : content

/**
 * Up to where what the server has is also the history of a timeline before its own. Undefined where that is not known: it is none of
 * its ancestors, or the server does not say.
 */
export const sharedUpTo = (
  query: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>,
  now: number,
  before: number
): Effect.Effect<ServerLsn | undefined, PgError> =>
  query(`TIMELINE_HISTORY ${now}`).pipe(
    Effect.map(([row]) => leftAt(textOf(row?.["content"] ?? ""), before)),
    // Its file was removed.
    Effect.catchIf(
      (error) => !error.unreachable,
      () => Effect.succeed(undefined)
    )
  )
