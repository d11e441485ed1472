import { counter, gauge, live, type MetricFamily } from "./MetricFamily.ts"

/** Of the storage directory. */
export const storageFamilies: ReadonlyArray<MetricFamily> = [
  gauge("baton_journal_bytes", "Bytes of the journal's files.", ({ journalBytes }) => journalBytes),
  {
    name: "baton_storage_bytes",
    type: "gauge",
    help: "Bytes in the storage directory beside the journal, by what they hold. Measured once a minute.",
    labels: ["kind"],
    samples: ({ stored }) =>
      stored === undefined
        ? []
        : [
            { labels: { kind: "checkpoint" }, value: stored.checkpoint },
            { labels: { kind: "first_rows" }, value: stored.firstRows },
            { labels: { kind: "log" }, value: stored.logs }
          ]
  },
  gauge(
    "baton_storage_free_bytes",
    "What the file system of the storage directory has left for this user.",
    ({ freeBytes }) => freeBytes
  ),
  live(
    gauge(
      "baton_storage_limit_bytes",
      "`BATON_MAX_STORAGE`, at the active instance. Absent where there is no limit.",
      ({ pressure }) => pressure.limitBytes
    )
  ),
  live(
    gauge(
      "baton_storage_counted_bytes",
      "What counts for `BATON_MAX_STORAGE`, where it is set: the files of all shapes, the checkpoint, and the journal as far as it is of its usual size.",
      ({ pressure }) => (pressure.limitBytes === undefined ? undefined : pressure.usedBytes)
    )
  ),
  live({
    name: "baton_compactions_total",
    type: "counter",
    help: "What compaction has made here as the writer: `base`: rows of a shape as they are at a place of its log. `fold`: a log with a few messages for each row.",
    labels: ["kind"],
    samples: ({ compactions }) => [
      { labels: { kind: "base" }, value: compactions.bases },
      { labels: { kind: "fold" }, value: compactions.folds }
    ]
  }),
  live(
    counter(
      "baton_compaction_written_bytes_total",
      "Bytes of files that compaction has written.",
      ({ compactions }) => compactions.writtenBytes
    )
  ),
  live(
    gauge(
      "baton_journal_write_failing",
      "1 while the disk refuses what is written to the journal, which is tried again and again; nothing is acknowledged meanwhile.",
      ({ isWriteFailing }) => Number(isWriteFailing)
    )
  )
]
