import { integer, size, time, type Kind } from "./Kind.ts"
import { defaulted, type Defaulted } from "./Variable.ts"

/** What happens to whatever is above a limit. */
type Above =
  /** The request gets this status, before anything is made for it. */
  | { readonly _tag: "Refused"; readonly status: 400 | 408 | 413 | 429 | 503 }
  /** The shape is dropped with the reason in the log; its clients get 409 once. */
  | { readonly _tag: "Dropped" }
  /** Something slower but bounded happens instead. */
  | { readonly _tag: "Otherwise"; readonly what: string }

/** A budget for something that a client can ask for: a row of `docs/limits.md`, and a variable of the configuration. */
export interface Limit extends Defaulted<number> {
  /** What is counted, as it begins a sentence: "The body of a request". */
  readonly subject: string
  readonly unit: "bytes" | "ms" | ""
  readonly above: Above
}

interface LimitDetails {
  readonly subject: string
  readonly above: Above
  /** Why somebody would change it, in a sentence or two. */
  readonly about: string
}

const limit =
  (kind: Kind<number>, unit: Limit["unit"]) =>
  (name: string, standard: string, details: LimitDetails): Limit => ({
    ...defaulted(name, standard, { group: "Limits", kind, about: `${details.subject}. ${details.about}` }),
    subject: details.subject,
    unit,
    above: details.above
  })

/** Kinds of limits, by what is counted. */
const bytes = limit(size, "bytes")
const count = limit(integer(1), "")
const millis = limit(time(), "ms")

const refused = (status: 400 | 408 | 413 | 429 | 503): Above => ({ _tag: "Refused", status })
const dropped: Above = { _tag: "Dropped" }
const otherwise = (what: string): Above => ({ _tag: "Otherwise", what })

/** Every budget, by the name under which the configuration has it (`config.limits`). */
export const limits = {
  bodyBytes: bytes("BATON_MAX_BODY", "3 MB", {
    subject: "The body of a request",
    above: refused(413),
    about: "It is read whole before it is looked at."
  }),
  bodyItems: count("BATON_MAX_BODY_ITEMS", "100000", {
    subject: "The number of values, names and lists in the body of a request",
    above: refused(400),
    about:
      "They are counted before it is parsed. A long text is one of them, and so is an array written as a text."
  }),
  bodyMillis: millis("BATON_MAX_BODY_TIME", "20s", {
    subject: "The time in which the body of a request arrives",
    above: refused(408),
    about: "More is for clients with large bodies and slow lines."
  }),
  openBodies: count("BATON_MAX_OPEN_BODIES", "1000", {
    subject: "The number of bodies that are being received",
    above: otherwise("the one that has been on its way for longest is refused with 503"),
    about: "They do not count as requests before they are complete (`ELECTRIC_MAX_CONCURRENT_REQUESTS`)."
  }),
  openBodyBytes: bytes("BATON_MAX_OPEN_BODY_BYTES", "64 MB", {
    subject: "The size of all bodies that are being received",
    above: otherwise("the largest of them is refused with 503"),
    about: "What has arrived of them is in memory."
  }),
  connections: count("BATON_MAX_CONNECTIONS", "20000", {
    subject: "The number of connections of clients",
    above: otherwise("is closed at once"),
    about:
      "Also those that send nothing. Never more than half of the files that the system lets the process open (`ulimit -n`), " +
      "so that some are left for storage."
  }),
  pipelinedRequests: count("BATON_MAX_PIPELINED_REQUESTS", "100", {
    subject: "The number of requests that wait for the one before them on a connection",
    above: otherwise("the connection is cut"),
    about:
      "One request of an HTTP/1.1 connection is worked on at a time; browsers send no other one before its answer."
  }),
  streams: count("BATON_MAX_STREAMS", "500", {
    subject: "The number of requests at a time on an HTTP/2 connection",
    above: otherwise("the client waits with them, or makes another connection"),
    about: "Proxies send the requests of many clients over one connection."
  }),
  clauseBytes: bytes("BATON_MAX_CLAUSE", "65536", {
    subject: "The text of a condition or an order",
    above: refused(400),
    about: "Long lists are better given as one parameter, an array: `id = ANY($1)`."
  }),
  clauseTokens: count("BATON_MAX_CLAUSE_TOKENS", "20000", {
    subject: "The number of words, literals and signs in a condition or an order",
    above: refused(400),
    about: "They are counted before the text is parsed. A list of 10,000 numbers has 20,000."
  }),
  clauseDepth: count("BATON_MAX_CLAUSE_DEPTH", "1000", {
    subject: "The number of words, literals and signs of a condition that stand inside each other",
    above: refused(400),
    about:
      "Counted since the last comma, AND or OR, in every parenthesis that is open: `a || b || c` has 5. Postgres' parser needs stack for each."
  }),
  clauseSqlBytes: bytes("BATON_MAX_CLAUSE_SQL", "1 MB", {
    subject: "A condition as it is written for Postgres",
    above: refused(400),
    about:
      "Counted in characters. Its parameters stand in it wherever they are used, and every literal has its type."
  }),
  orderItems: count("BATON_MAX_ORDER_ITEMS", "1600", {
    subject: "The number of columns in an order",
    above: refused(400),
    about: "They are counted before the text is parsed. No table has more columns than that."
  }),
  subsetQueries: count("BATON_MAX_SUBSET_QUERIES", "100", {
    subject: "The number of subset queries at a time",
    above: otherwise("waits for its turn, at most 30 s, then 503"),
    about:
      "They never have more than three quarters of the connections for rows (see `ELECTRIC_DB_POOL_SIZE`), so that new " +
      "shapes find one. Less spares the database."
  }),
  subsetMillis: millis("BATON_MAX_SUBSET_TIME", "60s", {
    subject: "The time of a subset's query",
    above: refused(503),
    about:
      "Until its last row; how fast the client takes the answer does not count. Meanwhile it has a connection, and its " +
      "snapshot holds up VACUUM."
  }),
  contendedMillis: millis("BATON_MAX_QUERY_TIME_UNDER_LOAD", "10s", {
    subject:
      "The time of a query for rows, while others wait for a connection and such queries have more than half of them",
    above: otherwise(
      "the youngest of them is ended: 503 for a subset or a new shape, whose client asks again; 409 once if first rows were being sent"
    ),
    about:
      "Both first rows of shapes and subsets, these first. So long queries, however many, keep a short one waiting for so long. More is for databases where many large shapes are made at once; less than 30 s, which is how long a request waits."
  }),
  subsetBytes: bytes("BATON_MAX_SUBSET_ANSWER", "512 MB", {
    subject: "The answer to a subset's query",
    above: refused(400),
    about: "Clients parse it in one piece, and JavaScript has no longer texts than that."
  }),
  subsetsHeldBytes: bytes("BATON_MAX_SUBSETS_HELD", "2 GB", {
    subject: "The size of all subset answers that clients have yet to take",
    above: refused(503),
    about:
      "Up to 64 MiB are in memory, the rest in unnamed files below `TMPDIR`. Before one is refused, those give way that " +
      "have been fetched for more than 30 s."
  }),
  decisionMillis: millis("BATON_MAX_DECISION_TIME", "250ms", {
    subject: "The time that a transaction waits until Postgres has evaluated conditions for its rows",
    above: dropped,
    about:
      "Everybody's changes wait meanwhile. Where Postgres is slow at everything it may be up to five times as long. Half of the time that the transaction takes anyway comes on top. Raise it if such shapes are dropped by imports, and their table is large."
  }),
  decisionBytes: bytes("BATON_MAX_DECISION_SIZE", "16 MB", {
    subject: "What a condition that only Postgres can evaluate reads of a changed row",
    above: dropped,
    about: "It is sent to Postgres again."
  }),
  paramsBytes: bytes("BATON_MAX_PARAMS", "1 MB", {
    subject: "The size of a condition's parameters",
    above: refused(400),
    about:
      "They are measured before they are read as arrays, JSON and so on. Each counts 8 bytes more than its text."
  }),
  clauseMemory: bytes("BATON_MAX_CLAUSE_MEMORY", "32 MB", {
    subject: "The memory of a condition",
    above: refused(400),
    about:
      "Estimated: the text four times, an array or JSON 24 times. Parameters that are used several times count each time. The values that its constants make it build for a row are measured against this too, all together."
  }),
  compileMillis: millis("BATON_MAX_COMPILE_TIME", "20s", {
    subject: "The time in which a condition is checked",
    above: refused(400),
    about: "Large ones are checked one after the other, in a thread of their own: nobody else waits for them."
  }),
  conditionsMemory: bytes("BATON_MAX_CONDITIONS_MEMORY", "512 MB", {
    subject: "The memory of the conditions of all shapes",
    above: refused(503),
    about:
      "Estimated in the same way. Shapes that there are live on, and new ones without a condition can be made."
  }),
  subselectValues: count("BATON_MAX_SUBSELECT_VALUES", "5000000", {
    subject: "The number of values that the sub-selects of all conditions give",
    above: otherwise("a new shape is refused with 503; a shape whose sub-select has grown is dropped"),
    about:
      "Equal sub-selects count once, and so do equal values of one; a value counts once more for each 64 bytes. They are in memory: some 15 bytes each where sub-selects give the same values, 30 to 100 where each gives its own, and 350 for each sub-select."
  }),
  moveBytes: bytes("BATON_MAX_MOVE_MEMORY", "64 MB", {
    subject:
      "The memory of rows that other tables move in and out of shapes, and of changes that wait for them",
    above: otherwise(
      "the moves of one transaction at a time are written as Postgres gives their rows, in order; changes wait in an unnamed file"
    ),
    about:
      "Each of the two may have so much, estimated. The file is below `TMPDIR`, or in the storage directory where that takes none; shapes with sub-selects are dropped where the disk takes no more."
  }),
  clauseSteps: count("BATON_MAX_CLAUSE_STEPS", "500000", {
    subject: "The work of a condition for one changed row",
    above: otherwise("Postgres decides the row"),
    about:
      "In steps: what one character costs in a loop, some 10 ns. Comparisons cost nothing; what makes or searches texts, arrays, JSON and numbers of many digits does, and so do regular expressions. An evaluation also ends after 15 ms of the processor's time: a search costs more where the text nearly matches."
  }),
  clauseValueLength: bytes("BATON_MAX_CLAUSE_VALUE", "1 MB", {
    subject: "A value that a condition makes on its way",
    above: otherwise(
      "refused with 400 if constants alone make it so large; Postgres decides a row that does; the shape is dropped if a text is also more than 8 times as large as the row"
    ),
    about:
      "Counted in characters, or 8 for each element of an array. Values of the row itself may be as large as they are."
  }),
  rowSteps: count("BATON_MAX_ROW_STEPS", "2000000", {
    subject: "The work of all conditions together for one changed row",
    above: otherwise("Postgres decides the row for those that cost more than a comparison"),
    about:
      "Nothing else is done meanwhile: neither requests are answered nor other rows are looked at. They also end after 25 ms of the processor's time."
  }),
  burstSteps: count("BATON_MAX_BURST_STEPS", "20000000", {
    subject: "The work of costly conditions, beyond what the rows themselves take",
    above: dropped,
    about:
      "Only evaluations count that take more than 2,000 steps and one for each byte of the row. A tenth of a second of work in each second is always allowed, and this much may have been saved for a large transaction. Above it the shapes with the costliest conditions are dropped."
  })
} as const

/** The limits in force. */
export type Limits = { readonly [K in keyof typeof limits]: number }

/** A value for each limit. */
export const mapLimits = (value: (limit: Limit) => number): Limits => {
  const result: Partial<Record<keyof Limits, number>> = {}
  for (const key of Object.keys(limits) as ReadonlyArray<keyof Limits>) result[key] = value(limits[key])
  return result as Limits
}

export const standardLimits: Limits = mapLimits(({ fallback }) => fallback)

/**
 * The sentence of a refusal, or of a dropped shape: what is limited, the limit in force, and the variable that sets it.
 * `actual` is told where it is known.
 */
export const aboveLimit = (key: keyof Limits, inForce: Limits, actual?: number): string => {
  const { subject, unit, name } = limits[key]
  const amount = (value: number) => (unit === "" ? `${value}` : `${value} ${unit}`)
  const is = actual === undefined ? "is above" : `is ${amount(actual)}, above`
  return `${subject} ${is} the limit of ${amount(inForce[key])} (${name})`
}
