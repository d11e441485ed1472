import { gauge, live, type MetricFamily } from "./MetricFamily.ts"

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
      "baton_journal_write_failing",
      "1 while the disk refuses what is written to the journal, which is tried again and again; nothing is acknowledged meanwhile.",
      ({ isWriteFailing }) => Number(isWriteFailing)
    )
  )
]
