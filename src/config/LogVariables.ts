import { integer, nonEmptyBoolean, size, time } from "./Kind.ts"
import { defaulted, optional } from "./Variable.ts"

/** What is kept of shapes, for how long, and how much of it there may be. Part of `variables`. */
export const logVariables = {
  compaction: defaulted("BATON_COMPACTION", "true", {
    group: "Storage",
    kind: nonEmptyBoolean,
    about: "Whether logs of shapes are compacted, see [storage.md](storage.md)."
  }),
  compactionGarbage: defaulted("BATON_COMPACTION_GARBAGE", "100", {
    group: "Storage",
    kind: integer(1, 1_000_000),
    about:
      "A shape's log is compacted when what is superseded in it is so many percent of the bytes that its rows take."
  }),
  compactionMinSize: defaulted("BATON_COMPACTION_MIN_SIZE", "256 KiB", {
    group: "Storage",
    kind: size,
    about: "Less than this is not worth it, unless nothing has happened to the shape for a minute."
  }),
  maxStorage: optional("BATON_MAX_STORAGE", {
    group: "Storage",
    kind: size,
    about:
      "What storage may take, see [storage.md](storage.md#quota): beyond that, logs are compacted and then the least recently used shapes " +
      "dropped. At least ten times `BATON_JOURNAL_SEGMENT_BYTES`. Unset: no limit."
  }),
  logRetention: defaulted("BATON_LOG_RETENTION", "10080min", {
    group: "Storage",
    kind: time({ minimumMillis: 1000 }),
    about:
      "For so long a client that was away goes on where it was. After that it may have to fetch the rows again. Answers with the " +
      "first rows may be cached for half an hour, or half of this."
  }),
  logRetentionSize: defaulted("BATON_LOG_RETENTION_SIZE", "200", {
    group: "Storage",
    kind: integer(0, 1_000_000),
    about:
      "What of a shape's log is kept for clients that were away takes at most so many percent of the bytes of its rows; beyond that " +
      "they may have to fetch the rows again sooner, but not within an hour."
  }),

  shapeDormantAfter: defaulted("BATON_SHAPE_DORMANT_AFTER", "30min", {
    group: "Storage",
    kind: time({ minimumMillis: 1000 }),
    about:
      "A shape that nobody has read for so long becomes dormant: it takes a few hundred bytes of memory, and the next request " +
      "wakes it. Readers notice nothing."
  }),
  shapeDropAfter: optional("BATON_SHAPE_DROP_AFTER", {
    group: "Storage",
    kind: time({ minimumMillis: 300_000 }),
    about:
      "A shape that nobody has read for so long is dropped, see [storage.md](storage.md#dormant-shapes). Unset: never."
  })
} as const
