/**
 * Why shapes are dropped, told apart for metrics: a closed set, because each is a time series. What exactly has happened is in
 * the log.
 */
export const dropReasons = [
  /** Through the API or the command. */
  "deleted",
  /** `ELECTRIC_MAX_SHAPES`. */
  "evicted",
  /** `BATON_SHAPE_DROP_AFTER`. */
  "unread",
  /** `BATON_MAX_STORAGE`. */
  "quota",
  /** Its first rows could not be read to the end. */
  "first_rows",
  /** The table, or what its condition uses, is another one, gone, or has another identity. */
  "schema",
  "truncated",
  /** Changes of its table may not have been published. */
  "publication",
  /** The stream does not go on from where storage ends: another slot, database, history. */
  "stream",
  /** The condition failed, or cost more than allowed. */
  "condition",
  /** A change was too large, or could not be read or passed on. */
  "change",
  /** What was stored is damaged or missing. */
  "storage",
  "other"
] as const

export type DropReason = (typeof dropReasons)[number]

const patterns: ReadonlyArray<readonly [DropReason, RegExp]> = [
  ["deleted", /^deleted /],
  ["quota", / more than BATON_MAX_STORAGE, /],
  ["evicted", /^there are more than \d+ shapes/],
  ["unread", /^nobody has read it for /],
  ["first_rows", /^its snapshot /],
  [
    "change",
    /has had a change that could not be read|cannot be read, for column|is not UTF-8|are behind by changes/
  ],
  ["condition", /^its condition fails|cannot be followed|\(BATON_MAX_|Only Postgres can evaluate/],
  ["truncated", / was truncated/],
  ["publication", / published|the publication /],
  [
    "stream",
    /replication slot|was cut off$|database cluster|restored or failed over|does not say which database/
  ],
  [
    "storage",
    /damaged|the checkpoint is missing|^its log |^what is stored of it |an older release has made|storage never had/
  ],
  [
    "schema",
    /the definition of |has changed in what they use|another table has the name|REPLICA IDENTITY|was NOT NULL|was no bigint| is gone$|is not what it was|cannot be read[^:]*: /
  ]
]

/** The class of a reason as the log and the journal have it. */
export const dropReasonOf = (text: string): DropReason =>
  patterns.find(([, pattern]) => pattern.test(text))?.[0] ?? "other"
