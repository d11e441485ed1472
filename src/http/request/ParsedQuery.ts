import type { Result } from "effect"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import type { ParameterErrors } from "./Parameters.ts"
import { decodeQuery, type QueryMap } from "./QueryString.ts"
import { gatherSubset, type MergedParams } from "./RequestBody.ts"
import { parseReadParams, type ShapeParams } from "./ShapeParams.ts"

/** A query string with everything that can be said about it without looking anything up. */
export interface ParsedQuery {
  readonly values: QueryMap
  readonly wellFormed: boolean
  /** It carries the service's secret, or none is needed. */
  readonly authorized: boolean
  /** The main parameters, those of a subset gathered. */
  readonly merged: MergedParams
  /** What a request without a body means. */
  readonly params: Result.Result<ShapeParams, ParameterErrors>
}

const rememberedQueries = 1024
const maxCachedLength = 2048

/**
 * Parses query strings and remembers the recent ones: clients of one shape all send the same text, and a live
 * request is the same text for as long as nothing happens. Held requests then also share what was parsed.
 */
export class QueryParser {
  private readonly isAuthorized: (query: QueryMap) => boolean
  private readonly recent = new BoundedMap<string, ParsedQuery>(rememberedQueries)

  constructor(isAuthorized: (query: QueryMap) => boolean) {
    this.isAuthorized = isAuthorized
  }

  parse(query: string): ParsedQuery {
    const known = this.recent.get(query)
    if (known !== undefined) return known
    const { values, wellFormed } = decodeQuery(query)
    const merged = gatherSubset(values)
    const parsed: ParsedQuery = {
      values,
      wellFormed,
      authorized: this.isAuthorized(values),
      merged,
      params: parseReadParams(merged)
    }
    // What strangers send must not push out what clients send.
    if (parsed.authorized && query.length <= maxCachedLength) this.recent.set(query, parsed)
    return parsed
  }
}
