import type { Alert } from "./Alert.ts"

/** About the storage directory and the bucket. */
export const storageAlerts: ReadonlyArray<Alert> = [
  {
    name: "BatonStorageUnwritable",
    severity: "critical",
    for: "1m",
    expression: 'max by (job, instance) (baton_state{state="unwritable"}) == 1',
    summary: "An instance of Baton cannot use its storage directory",
    means:
      "It may not write there, or what is there cannot be read. It serves what it has, and cannot become active.",
    heals: "It tries again by itself.",
    whatToDo: "The log names the directory and the error: rights, a volume that is not mounted, a full disk.",
    firesWith: { 'baton_state{job="baton",instance="a",state="unwritable"}': "1x60" }
  },
  {
    name: "BatonJournalWriteFailing",
    severity: "critical",
    for: "1m",
    expression: "max by (job, instance) (baton_journal_write_failing) == 1",
    summary: "The disk refuses what Baton writes",
    means:
      "Changes are still sent to clients, from memory, and not acknowledged to Postgres, where WAL piles up. Nothing is lost.",
    heals: "As soon as the disk takes it: it is tried several times a second.",
    whatToDo: "Make room on the disk, or mend it. The log has the error.",
    firesWith: { 'baton_journal_write_failing{job="baton",instance="a"}': "1x60" }
  },
  {
    name: "BatonStorageFull",
    severity: "critical",
    for: "5m",
    expression: "min by (job, instance) (baton_storage_free_bytes) < 5e8",
    summary: "Less than 500 MB are left where Baton stores shapes",
    means: "When nothing is left, changes are not acknowledged any more, and new shapes fail.",
    heals: "Not by itself.",
    whatToDo:
      "Enlarge the volume. `baton_storage_bytes` says what takes the room. `BATON_MAX_STORAGE` bounds what is stored, and `ELECTRIC_MAX_SHAPES` the number of shapes; a shape that is deleted frees its files within seconds.",
    firesWith: { 'baton_storage_free_bytes{job="baton",instance="a"}': "1e6x60" }
  },
  {
    name: "BatonQuotaDrops",
    severity: "warning",
    for: "0m",
    expression: 'sum by (job) (increase(baton_shapes_dropped_total{reason="quota"}[30m])) > 0',
    summary: "Baton drops shapes because storage takes more than BATON_MAX_STORAGE",
    means:
      "Compacting logs was not enough. The shapes that were used least are dropped; their clients, if they come back, read all rows from the database again. A shape that alone is too large is refused with 503.",
    heals: "When less is in use, or the tables become smaller.",
    whatToDo:
      "Raise `BATON_MAX_STORAGE` (with `baton_storage_free_bytes` in view), or look who asks for so much. The log names the shapes.",
    firesWith: { 'baton_shapes_dropped_total{job="baton",instance="a",reason="quota"}': "0x10 3x50" }
  },
  {
    name: "BatonFollowerBehind",
    severity: "warning",
    for: "2m",
    expression: "max by (job, instance, process) (baton_follower_lag_bytes) > 1e8",
    summary: "A process of Baton is more than 100 MB of the journal behind",
    means:
      "A waiting instance, or an HTTP worker, reads slower than the active instance writes. Its clients get changes late, and a takeover takes longer.",
    heals: "When it has caught up.",
    whatToDo: "Look at its processor and at the shared disk.",
    firesWith: { 'baton_follower_lag_bytes{job="baton",instance="a",process="main"}': "1e9x60" }
  },
  {
    name: "BatonBucketBehind",
    severity: "critical",
    for: "1m",
    expression: "max by (job, instance) (baton_bucket_unshipped_seconds) > 60",
    summary: "The bucket has not taken changes of Baton for more than a minute",
    means: "Clients get them all the same. They are not acknowledged to Postgres, where WAL piles up.",
    heals: "When the bucket answers again.",
    whatToDo: "The log has the bucket's error. See [bucket.md](bucket.md#when-the-bucket-does-not-answer).",
    firesWith: { 'baton_bucket_unshipped_seconds{job="baton",instance="a"}': "100x60" }
  },
  {
    name: "BatonBucketFailing",
    severity: "warning",
    for: "1m",
    expression: "max by (job, instance, side) (baton_bucket_failing_seconds) > 30",
    summary: "Nothing that Baton asks of its bucket has succeeded for 30 s ({{ $labels.side }})",
    means: "The bucket is out of reach, refuses the keys, or is throttled.",
    heals: "It is asked again all the time.",
    whatToDo: "The log has the bucket's error: network, keys, rights. See [bucket.md](bucket.md).",
    firesWith: { 'baton_bucket_failing_seconds{job="baton",instance="a",side="write"}': "100x60" }
  },
  {
    name: "BatonMirrorBehind",
    severity: "warning",
    for: "2m",
    expression: "max by (job, instance) (baton_mirror_behind_seconds) > 60",
    summary: "An instance of Baton has not seen everything for a minute",
    means: "It reaches neither the active instance nor the bucket, and serves shapes as of then.",
    heals: "When it reaches one of them.",
    whatToDo:
      "Look whether `BATON_ADVERTISE_URL` of the active instance can be reached from this one, and the bucket.",
    firesWith: { 'baton_mirror_behind_seconds{job="baton",instance="a"}': "100x60" }
  }
]
