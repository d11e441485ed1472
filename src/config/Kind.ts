import { Result } from "effect"

/** How the text of a variable is read. Total: any text gives a value or what was expected instead. */
export interface Kind<A> {
  /** What a value looks like, as it appears in error messages and in the documentation. */
  readonly accepts: string
  /** Fails with the reason, which usually is `expected ${accepts}`. Never repeats the text. */
  readonly parse: (text: string) => Result.Result<A, string>
}

const kind = <A>(accepts: string, parse: (text: string) => A | undefined): Kind<A> => ({
  accepts,
  parse: (text) => {
    const value = parse(text)
    return value === undefined ? Result.fail(`expected ${accepts}`) : Result.succeed(value)
  }
})

const truths = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false]
])

/** `no`, `off` and the like are errors: read as true, as some programs do, they would turn security off. */
export const boolean: Kind<boolean> = kind("true, false, 1 or 0 (empty is false)", (text) =>
  text === "" ? false : truths.get(text.toLowerCase())
)

export const nonEmptyBoolean: Kind<boolean> = kind("true, false, 1 or 0", (text) =>
  truths.get(text.toLowerCase())
)

/** Whole decimal number; nothing may follow the digits. */
export const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER): Kind<number> => {
  const range =
    maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`
  return kind(`an integer ${range}`, (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN
    return Number.isSafeInteger(value) && value >= minimum && value <= maximum ? value : undefined
  })
}

/** Decimal number between 0 and 1. */
export const ratio: Kind<number> = kind("a number from 0 to 1", (text) => {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN
  return value >= 0 && value <= 1 ? value : undefined
})

const millisPerUnit: Readonly<Record<string, number>> = {
  ms: 1,
  msec: 1,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000
}

/** Longest delay that a timer of Node takes; about 24.8 days. A longer one would fire at once. */
const longestMillis = 2 ** 31 - 1

/** A duration in milliseconds. `zero` says what 0 means where that has a meaning. */
export const time = (
  options: { readonly minimumMillis?: number; readonly zero?: string } = {}
): Kind<number> => {
  const minimum = options.minimumMillis
  const accepts =
    "a time such as 500, 250ms, 20s or 5 min (ms, msec, s, sec, m, min; no unit is milliseconds)" +
    (minimum === undefined ? "" : `, at least ${minimum / 1000}s`) +
    (options.zero === undefined ? "" : `; 0 ${options.zero}`)
  return kind(accepts, (text) => {
    const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/.exec(text)
    const unit = match?.[2] === "" ? 1 : millisPerUnit[match?.[2] ?? "none"]
    if (match === null || unit === undefined) return undefined
    const millis = Number(match[1]) * unit
    if (millis === 0) return options.zero === undefined ? undefined : 0
    const rounded = Math.max(1, Math.round(millis))
    return rounded > longestMillis || (minimum !== undefined && millis < minimum) ? undefined : rounded
  })
}

const bytesPerUnit: Readonly<Record<string, number>> = {
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3
}

/** A number of bytes, above 0. */
export const size: Kind<number> = kind(
  "a size such as 65536, 500KB or 4 MiB (KB, MB, GB, KiB, MiB, GiB; no unit is bytes)",
  (text) => {
    const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text)
    const unit = match?.[2] === "" ? 1 : bytesPerUnit[match?.[2] ?? "none"]
    if (match === null || unit === undefined) return undefined
    const bytes = Math.round(Number(match[1]) * unit)
    return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined
  }
)

/** Any text, also an empty one. */
export const text: Kind<string> = { accepts: "any text", parse: Result.succeed }

export const nonEmptyText = (accepts: string): Kind<string> =>
  kind(accepts, (value) => (value === "" ? undefined : value))

/** A path; a NUL byte cannot be part of one. */
export const path: Kind<string> = kind("a path", (value) =>
  value === "" || value.includes("\0") ? undefined : value
)

export const httpUrl: Kind<string> = kind("an http:// or https:// URL", (value) =>
  /^https?:\/\//.test(value) && URL.canParse(value) ? value : undefined
)

/** One of the given words, each standing for a value. */
export const oneOf = <A>(
  words: ReadonlyMap<string, A>,
  options: { readonly ignoreCase?: boolean; readonly shown?: ReadonlyArray<string> } = {}
): Kind<A> =>
  kind(`one of ${(options.shown ?? [...words.keys()]).join(", ")}`, (value) =>
    words.get(options.ignoreCase === true ? value.toUpperCase() : value)
  )

export const matching = (accepts: string, pattern: RegExp): Kind<string> =>
  kind(accepts, (value) => (pattern.test(value) ? value : undefined))

/** How many requests of each sort may be in progress. */
export interface ConcurrentRequests {
  readonly initial: number
  readonly existing: number
}

export const concurrentRequests: Kind<ConcurrentRequests> = kind(
  'a JSON object such as {"initial":300,"existing":10000} with both numbers, integers of at least 0',
  (value) => {
    let parsed: unknown
    try {
      parsed = JSON.parse(value)
    } catch {
      return undefined
    }
    if (typeof parsed !== "object" || parsed === null) return undefined
    if (!("initial" in parsed) || !("existing" in parsed)) return undefined
    const { initial, existing } = parsed
    return isCount(initial) && isCount(existing) ? { initial, existing } : undefined
  }
)

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0

/** Longest identifier of Postgres, in bytes (`NAMEDATALEN` - 1); longer slot names are refused. */
const longestIdentifierBytes = 63

export const slotPrefix = "electric_slot_"
export const publicationPrefix = "electric_publication_"

const longestStreamId = longestIdentifierBytes - Math.max(slotPrefix.length, publicationPrefix.length)

/**
 * A replication stream id, made fit for a slot name, which may hold only `a-z`, `0-9` and `_`: letters become lower
 * case, the other characters that are accepted become `_`.
 * Source: Postgres docs, "Replication Slots"; upgrade guide (`deploy-blue` gives `electric_slot_deploy_blue`).
 */
export const streamId: Kind<string> = kind(
  `1 to ${longestStreamId} letters (a-z), digits, _, -, . or $, ` +
    `because ${publicationPrefix}<id> may have ${longestIdentifierBytes} bytes`,
  (value) =>
    /^[A-Za-z0-9_.$-]+$/.test(value) && value.length <= longestStreamId
      ? value.toLowerCase().replaceAll(/[^a-z0-9_]/g, "_")
      : undefined
)
