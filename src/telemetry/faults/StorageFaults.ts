import type { FaultRows } from "./FaultRows.ts"

const held =
  "Yes: it is tried again. Nothing is acknowledged to Postgres meanwhile, which keeps its WAL; shapes that exist are served."

/** The storage directory, the bucket, and what is in them. */
export const storageFaults = {
  "BATON-STORAGE-WRITE": {
    severity: "critical",
    title: "The storage directory cannot be written",
    happened: "The disk is full, was made read-only, or gives errors.",
    heals: held,
    advice: "Free space on the disk, or mend what the line names.",
    doctor: "storage"
  },
  "BATON-STORAGE-UNWRITABLE": {
    severity: "critical",
    lasts: true,
    title: "Storage cannot be taken over",
    happened:
      "This instance has the lock and cannot write to the storage directory or the bucket, so it gives the lock back.",
    heals: "It is tried again; shapes that exist are served, and new ones cannot be made.",
    advice: "Mend rights or space of the directory, or the bucket.",
    doctor: "storage"
  },
  "BATON-STORAGE-READONLY": {
    severity: "warning",
    title: "This instance can only read storage",
    happened: "The directory is there, but cannot be written by this user.",
    heals: "When the rights are given: it is tried again at a takeover.",
    advice: "Give the user of this process the right to write there.",
    doctor: "storage"
  },
  "BATON-STORAGE-UNUSABLE": {
    severity: "critical",
    lasts: true,
    title: "Storage cannot be used",
    happened: "The directory cannot be written or read at the start, or what it holds is of a newer release.",
    heals:
      "No. The command ends with exit code 1; a program that embeds Baton is told, and it is tried again.",
    advice: "Mend what the line names, and start again.",
    doctor: "storage"
  },
  "BATON-STORAGE-NEWER": {
    severity: "critical",
    lasts: true,
    title: "Storage is of a newer release",
    happened: "What is stored was finalised by a newer release, and this one cannot read it.",
    heals: "No.",
    advice: "Start the release that the line names, or a newer one; or give this one an empty directory.",
    doctor: "storage"
  },
  "BATON-STORAGE-GONE": {
    severity: "critical",
    title: "The storage directory was removed or replaced",
    happened: "The directory went away while this instance was writing to it.",
    heals: "It begins anew with what is there now; clients fetch their shapes again.",
    advice: "Find out who removed it; give each service a directory of its own on a disk that stays.",
    doctor: "storage"
  },
  "BATON-STORAGE-READ": {
    severity: "critical",
    title: "The journal cannot be read",
    happened: "An instance or an HTTP worker that follows the journal cannot read it.",
    heals: "As a rule: it is tried again. What has been read is served.",
    advice: "Mend what the line names: rights, a mount that went away, a newer release.",
    metric: "baton_follower_lag_bytes",
    doctor: "storage"
  },
  "BATON-STORAGE-LATE": {
    severity: "warning",
    title: "The file system shows late what another machine wrote",
    happened:
      "The end of the journal cannot be seen from here yet, as on network file systems that cache attributes.",
    heals: "Yes: it is looked for again, for a minute at most. Shapes are served meanwhile.",
    advice: "Shorten the attribute cache of the mount, or keep storage in a bucket.",
    doctor: "storage"
  },
  "BATON-STORAGE-RETRY": {
    severity: "warning",
    title: "Storage could not be read at once",
    happened: "The disk gave an error at the start.",
    heals: "As a rule: it is tried some times more.",
    advice: "Look at the disk or the mount.",
    doctor: "storage"
  },
  "BATON-STORAGE-HOUSEKEEPING": {
    severity: "warning",
    title: "Housekeeping of storage is held up",
    happened: "Segments could not be moved, indexes, checkpoints or files not be written or removed.",
    heals: "As a rule: it is tried again. The journal holds everything, and grows meanwhile.",
    advice: "Look at the disk: space, rights, errors.",
    metric: "baton_journal_bytes",
    doctor: "storage"
  },
  "BATON-STORAGE-COMPACTION": {
    severity: "warning",
    title: "Logs of shapes are not compacted",
    happened: "What would make the log of a shape smaller could not be read or written.",
    heals:
      "As a rule: it is tried again; a log that cannot be read as one is left as it is until the next start. Shapes are served meanwhile, and their logs grow.",
    advice: "Look at the disk: space, rights, errors. Report it if a log cannot be read.",
    doctor: "storage"
  },
  "BATON-STORAGE-QUOTA": {
    severity: "warning",
    title: "Shapes were dropped because storage is full",
    happened:
      "Shapes take more than BATON_MAX_STORAGE, and compacting their logs was not enough. Those that nobody reads were dropped, or a shape that alone takes more; the line says which.",
    heals:
      "As a rule: clients that come again fetch them again. One that was dropped although it was read is refused with 503 as long as there is no room for it.",
    advice: "Raise the limit, or have clients ask for less, if shapes go again and again.",
    metric: "baton_storage_counted_bytes",
    doctor: "storage"
  },
  "BATON-STORAGE-DAMAGED": {
    severity: "critical",
    title: "A file in storage is damaged",
    happened: "Bytes of a log file, of the journal or of a checkpoint are not what was written.",
    heals: "Yes: an older checkpoint is used, or the shapes concerned are dropped and fetched again.",
    advice: "Look at the disk or the network file system that holds the directory.",
    doctor: "storage"
  },
  "BATON-STORAGE-CLOSE": {
    severity: "warning",
    title: "Storage was not closed as it should be",
    happened: "The end of the journal could not be written when it was given back.",
    heals: "Yes: it is read anew, and Postgres sends again what is missing.",
    advice: "Look at the disk."
  },
  "BATON-STORAGE-FENCE": {
    severity: "critical",
    title: "It cannot be seen who writes storage",
    happened: "Whether another instance has taken over storage could not be read or written down.",
    heals: held,
    advice: "Look at the disk or the mount of the storage directory.",
    doctor: "storage"
  },
  "BATON-STORAGE-LEVEL": {
    severity: "warning",
    title: "Finalising storage is held up",
    happened: "What other instances are there, or the level of storage, could not be read or written.",
    heals: "As a rule: it is tried again. Older releases can go on taking over meanwhile.",
    advice: "Look at the disk of the storage directory.",
    doctor: "storage"
  },
  "BATON-STORAGE-SIZE": {
    severity: "warning",
    title: "Figures of storage are missing",
    happened: "How large files are, or how much room copies take, could not be read.",
    heals: "As a rule: it is tried again.",
    advice: "Look at the disk of the storage directory.",
    doctor: "storage"
  },
  "BATON-BUCKET-WRITE": {
    severity: "critical",
    lasts: true,
    title: "The bucket cannot be written",
    happened: "The object store refuses or does not answer.",
    heals:
      "Yes: it is tried again. Changes go on to clients, nothing is acknowledged to Postgres, and new shapes are refused.",
    advice: "Look at the store, the credentials and the network; the line has its answer.",
    metric: "baton_bucket_unshipped_seconds",
    doctor: "bucket"
  },
  "BATON-BUCKET-READ": {
    severity: "critical",
    lasts: true,
    title: "The bucket cannot be read",
    happened: "The object store refuses or does not answer.",
    heals: "Yes: it is tried again. Shapes are served as far as their files are here.",
    advice: "Look at the store, the credentials and the network; the line has its answer.",
    doctor: "bucket"
  },
  "BATON-BUCKET-START": {
    severity: "critical",
    title: "The bucket does not answer at the start",
    happened: "Nothing can be served before the bucket has answered.",
    heals: "Yes: it is tried again.",
    advice: "Look at endpoint, credentials and network; the line has the store's answer.",
    doctor: "bucket"
  },
  "BATON-BUCKET-PATIENCE": {
    severity: "warning",
    title: "The lock is handed over because of the bucket",
    happened:
      "The bucket took nothing from this instance for longer than BATON_BUCKET_PATIENCE, and another instance waits.",
    heals: "Yes, where the other instance reaches the bucket.",
    advice: "Look at the network between this machine and the store.",
    doctor: "bucket"
  },
  "BATON-BUCKET-COPY": {
    severity: "warning",
    title: "The local copy of the bucket is held up",
    happened: "Changes do not come to the local directory, or it could not be tidied.",
    heals: "As a rule: it is tried again. Shapes are served as they are.",
    advice: "Look at the local disk, and at the bucket.",
    doctor: "storage"
  },
  "BATON-BUCKET-CHAIN": {
    severity: "critical",
    title: "Something in the bucket is not as it was made",
    happened: "An object is missing or another one than was put there.",
    heals: "Where a checkpoint was made behind it. Otherwise the line says what to do.",
    advice: "Keep other programs and life-cycle rules away from the prefix.",
    doctor: "bucket"
  },
  "BATON-BUCKET-ADDRESS": {
    severity: "warning",
    title: "Other instances cannot be told where this one is",
    happened: "ELECTRIC_PORT is 0, so changes reach other instances only by way of the bucket.",
    heals: "No.",
    advice: "Set BATON_ADVERTISE_URL, or a port.",
    doctor: "configuration"
  },
  "BATON-TAIL-FAILED": {
    severity: "warning",
    title: "The journal does not come from the active instance",
    happened:
      "Another instance could not be followed over HTTP, or one that follows this one was refused or too slow.",
    heals: "Yes: it is tried again; changes come by way of the bucket meanwhile.",
    advice: "Check that instances reach each other at BATON_ADVERTISE_URL, and have the same secret."
  }
} satisfies FaultRows
