import { boolean, httpUrl, integer, type Kind, matching, oneOf, ratio, text, time } from "./Kind.ts"
import { type Group, ignored, optional, type Variable } from "./Variable.ts"

/** `optional` in one line: these are many, and only their row in the documentation matters. */
const accepted = (
  group: Group,
  name: string,
  kind: Kind<unknown>,
  treatment: Variable<unknown>["treatment"],
  about: string,
  secret = false
): Variable<unknown> => optional(name, { group, kind, treatment, about, secret })

const noProcessPerShape = ignored("a shape has no process of its own here")
const anotherRuntime = ignored("it tunes the Erlang runtime")
const noCallHome = ignored("nothing is reported to anybody")

const topProcessLimit = matching(
  "count:<N> with N above 0, or mem_percent:<1-100>",
  /^(?:count:0*[1-9]\d*|mem_percent:0*(?:[1-9]\d?|100))$/
)

/**
 * Variables of Electric that this service reads and checks, and that change nothing: a deployment that sets them starts,
 * and a warning says what they do not do.
 */
export const acceptedVariables: ReadonlyArray<Variable<unknown>> = [
  // Database
  accepted(
    "Database",
    "ELECTRIC_EXPERIMENTAL_MAX_BATCH_SIZE",
    integer(2),
    ignored("large transactions are cut by bytes, not by a number of changes"),
    "Changes handled at once."
  ),
  accepted(
    "Database",
    "ELECTRIC_DATABASE_ID",
    text,
    ignored("storage holds one database"),
    "Name of the database in old storage directories."
  ),

  // Service
  accepted(
    "Service",
    "ELECTRIC_CONSUMER_PARTITIONS",
    integer(1),
    noProcessPerShape,
    "Groups that shapes are spread over."
  ),
  accepted(
    "Service",
    "ELECTRIC_FEATURE_FLAGS",
    text,
    ignored("there are no feature flags"),
    "Comma-separated names."
  ),
  accepted(
    "Service",
    "ELECTRIC_SUBQUERY_BUFFER_MAX_TRANSACTIONS",
    integer(1),
    ignored("what waits for a query is bounded by its bytes"),
    "Transactions a shape with a subquery may hold back."
  ),
  accepted(
    "Service",
    "ELECTRIC_TWEAKS_HTTP_API_NUM_ACCEPTORS",
    integer(1),
    ignored("one thread accepts all connections"),
    "Processes that accept connections."
  ),

  // Storage
  accepted(
    "Storage",
    "ELECTRIC_PERSISTENT_STATE",
    oneOf(
      new Map([
        ["FILE", "file"],
        ["MEMORY", "memory"]
      ]),
      { ignoreCase: true }
    ),
    ignored("metadata is kept wherever `ELECTRIC_STORAGE` keeps the shapes"),
    "Where metadata is kept."
  ),
  accepted(
    "Storage",
    "ELECTRIC_SHAPE_DB_ENABLE_STATS",
    boolean,
    ignored("Electric does not read it either"),
    "Statistics of the metadata database."
  ),
  accepted(
    "Storage",
    "ELECTRIC_SHAPE_DB_ENABLE_MEMORY_STATS",
    boolean,
    ignored("Electric does not read it either"),
    "Memory statistics of the metadata database."
  ),
  accepted(
    "Storage",
    "ELECTRIC_SHAPE_DB_SYNCHRONOUS",
    oneOf(
      new Map(["OFF", "NORMAL", "FULL", "EXTRA", "0", "1", "2", "3"].map((word) => [word, word] as const)),
      { ignoreCase: true }
    ),
    ignored("checkpoints are rare and always made durable, because journal files are removed after them"),
    "How durable the metadata database is made."
  ),
  accepted("Storage", "ELECTRIC_SHAPE_HIBERNATE_AFTER", time(), noProcessPerShape, "Idle time."),
  accepted("Storage", "ELECTRIC_SHAPE_SUSPEND_CONSUMER", boolean, noProcessPerShape, "End idle ones."),
  accepted("Storage", "ELECTRIC_SHAPE_SUSPEND_AFTER", time(), noProcessPerShape, "Idle time before that."),
  accepted(
    "Storage",
    "ELECTRIC_FLUSH_STALL_GRACE_PERIOD",
    time(),
    ignored("all shapes share one journal, so no single shape can hold up the others"),
    "How long one shape may hold up the acknowledgement of changes."
  ),

  // Telemetry
  accepted(
    "Telemetry",
    "ELECTRIC_METRICS_SAMPLING_RATIO",
    ratio,
    ignored("all transactions are measured"),
    "Share of measured transactions."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_PROFILE_WHERE_CLAUSES",
    boolean,
    ignored("conditions are evaluated together, and not one by one"),
    "Spans around filtering."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_STACK_TELEMETRY_INIT_DELAY",
    time(),
    ignored("everything is measured from the start on"),
    "Delay before the first measurement."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_TELEMETRY_TOP_PROCESS_LIMIT",
    topProcessLimit,
    anotherRuntime,
    "Processes reported one by one."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_TELEMETRY_TOP_PROCESS_COUNT",
    integer(1),
    anotherRuntime,
    "The same, older."
  ),
  accepted("Telemetry", "ELECTRIC_TELEMETRY_LONG_GC_THRESHOLD", integer(0), anotherRuntime, "Milliseconds."),
  accepted(
    "Telemetry",
    "ELECTRIC_TELEMETRY_LONG_SCHEDULE_THRESHOLD",
    integer(0),
    anotherRuntime,
    "Milliseconds."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_ENABLE_THRESHOLD",
    integer(0),
    anotherRuntime,
    "Messages."
  ),
  accepted(
    "Telemetry",
    "ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_DISABLE_THRESHOLD",
    integer(0),
    anotherRuntime,
    "Messages."
  ),
  accepted(
    "Telemetry",
    "SENTRY_DSN",
    httpUrl,
    ignored(
      "there is no client of Sentry here: errors get there as OpenTelemetry logs, see docs/telemetry.md"
    ),
    "Where errors go.",
    true
  ),
  accepted("Telemetry", "ELECTRIC_LOG_OTP_REPORTS", boolean, anotherRuntime, "Log its reports."),
  accepted(
    "Telemetry",
    "ELECTRIC_LIVE_DASHBOARD_PORT",
    integer(0, 65_535),
    ignored("there is no dashboard"),
    "Port of a dashboard."
  ),
  accepted("Telemetry", "ELECTRIC_USAGE_REPORTING", text, noCallHome, "Removed in Electric 1.7.11."),
  accepted("Telemetry", "ELECTRIC_TELEMETRY_URL", text, noCallHome, "Removed in Electric 1.7.11."),

  // Service, once more: knobs of the runtime
  accepted("Service", "ELECTRIC_PROCESS_SPAWN_OPTS", text, anotherRuntime, "Options of new processes."),
  accepted("Service", "ELECTRIC_CONSUMER_GC_HEAP_THRESHOLD", text, anotherRuntime, "Heap size."),
  accepted("Service", "ELECTRIC_TWEAKS_HANDLER_FULLSWEEP_AFTER", text, anotherRuntime, "Collections."),
  accepted("Service", "ELECTRIC_TWEAKS_PROCESS_REGISTRY_PARTITIONS", text, anotherRuntime, "Partitions.")
]
