import type { FaultRows } from "./FaultRows.ts"

const anew =
  "Yes: a new slot is made, and all shapes are compared with the database; clients fetch nothing again."

/** The slot, the publication, the lock, and changes that cannot be passed on. */
export const replicationFaults = {
  "BATON-SLOT-LOST": {
    severity: "critical",
    title: "Postgres gave up the replication slot",
    happened:
      "The slot needed more WAL than max_slot_wal_keep_size allows, or was invalidated for another reason; or the database was " +
      "restored from a backup with the slot in it, and has another history now.",
    heals: anew,
    advice:
      "Raise max_slot_wal_keep_size, and find out why WAL gathered: an instance that was down, a long transaction, a slow disk.",
    metric: "electric_postgres_replication_slot_retained_wal_size",
    doctor: "slot"
  },
  "BATON-SLOT-MISSING": {
    severity: "critical",
    title: "The replication slot is gone",
    happened: "Somebody dropped the slot, or the database was failed over or restored without it.",
    heals: anew,
    advice:
      "On Postgres 17 and later, make failover slots at the provider; keep other programs from dropping slots that are not theirs.",
    doctor: "slot"
  },
  "BATON-SLOT-BUDGET": {
    severity: "warning",
    lasts: true,
    title: "Postgres is about to give up the replication slot",
    happened:
      "The slot keeps more WAL than half of what max_slot_wal_keep_size allows, or already more than that.",
    heals: "When the stream catches up before the next checkpoint.",
    advice: "Raise max_slot_wal_keep_size; look for what holds the stream up.",
    metric: "electric_postgres_replication_slot_retained_wal_size",
    doctor: "slot"
  },
  "BATON-SLOT-WAITS": {
    severity: "warning",
    lasts: true,
    title: "A new slot waits for open transactions",
    happened: "Postgres makes a slot only when the transactions that were open before have ended.",
    heals: "When they commit or roll back.",
    advice: "Find them with SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL, and end them.",
    doctor: "slot"
  },
  "BATON-SLOT-HELP": {
    severity: "warning",
    title: "A new slot cannot be made promptly",
    happened: "The role may not run the function that lets a slot be made at once on an idle database.",
    heals: "Yes, with the next activity in the database.",
    advice: "Run the GRANT that the line names.",
    doctor: "role"
  },
  "BATON-SLOT-FAILOVER": {
    severity: "warning",
    title: "Standbys do not get the replication slot",
    happened: "Postgres 17 or later refuses to make the slot one that is copied to standbys.",
    heals: "No. Everything works; after a failover shapes are compared with the database.",
    advice: "Do what the line says, or set BATON_FAILOVER_SLOT=false.",
    doctor: "failover"
  },
  "BATON-SLOT-INUSE": {
    severity: "critical",
    lasts: true,
    title: "Somebody else streams from the slot",
    happened: "Another connection has the replication slot, possibly of a program that is not ours.",
    heals: "When that connection ends: it is tried again.",
    advice: "Find it with SELECT * FROM pg_replication_slots; give each service a stream id of its own.",
    doctor: "slot"
  },
  "BATON-SLOT-FILE": {
    severity: "critical",
    lasts: true,
    title: "Postgres cannot save the slot",
    happened: "A file of an earlier slot is in the way on the database server.",
    heals: "As a rule: it is tried again.",
    advice: "Look into pg_replslot on the server if it does not pass.",
    doctor: "slot"
  },
  "BATON-STREAM-TOOLARGE": {
    severity: "critical",
    title: "A transaction was larger than is allowed",
    happened: "One transaction is larger than ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE.",
    heals: anew,
    advice: "Split such transactions, or raise the limit."
  },
  "BATON-STREAM-IDENTITY": {
    severity: "critical",
    title: "A change came without its old row",
    happened: "A published table has had another replica identity than FULL.",
    heals: anew,
    advice: "Leave REPLICA IDENTITY FULL on published tables.",
    doctor: "tables"
  },
  "BATON-STREAM-UNREADABLE": {
    severity: "critical",
    title: "A change could not be read",
    happened: "Postgres gave a change that cannot be decoded, or could not give it out.",
    heals:
      "Yes: the change is passed over, and shapes that need it are compared with the database. Those are dropped that have a value which cannot be given out; the line that drops them names table and column.",
    advice:
      "Correct the row: shapes with it can be made again once it is right. Report it if Postgres had nothing to complain about."
  },
  "BATON-STREAM-SILENT": {
    severity: "critical",
    lasts: true,
    title: "Nothing comes from the database",
    happened:
      "What is written to the database has not come through the replication slot for 10 s: a heartbeat is missing. The line names the cause.",
    heals: "As the line says; shapes are served as they are until then.",
    advice: "Do what the line says of the cause that it names.",
    metric: "baton_stream_state",
    doctor: "slot"
  },
  "BATON-STREAM-UNWATCHED": {
    severity: "warning",
    lasts: true,
    title: "Nobody tells if changes stop coming",
    happened: "The role may not write a heartbeat to the database.",
    heals: "As soon as it is granted: it is tried again.",
    advice: "Run the GRANT that the line names, or turn heartbeats off.",
    metric: "baton_stream_state"
  },
  "BATON-PUBLICATION-MISSING": {
    severity: "critical",
    title: "The publication is gone",
    happened: "Somebody dropped the publication, or it is younger than the slot.",
    heals:
      "Yes, unless tables are published by hand: it is made anew with a new slot, and all shapes are compared with the database.",
    advice: "With manual publishing, create it. Find out who dropped it.",
    doctor: "publication"
  },
  "BATON-PUBLICATION-ALTERED": {
    severity: "critical",
    title: "The publication did not carry everything",
    happened: "Operations, generated columns or a table left the publication while shapes needed them.",
    heals: "What may be repaired is; the shapes concerned are dropped and fetched again.",
    advice: "Leave the publication to the service, or add what the line names again.",
    doctor: "publication"
  },
  "BATON-PUBLICATION-UNSEEN": {
    severity: "warning",
    title: "The publication could not be checked",
    happened: "The periodic comparison of the publication with what shapes need has failed.",
    heals: "As a rule: it is tried again.",
    advice: "Mend what Postgres names in the line.",
    doctor: "publication"
  },
  "BATON-TABLE-OWNER": {
    severity: "warning",
    title: "A table is not the role's, and cannot be published",
    happened:
      "Shapes of the table cannot be made: only its owner may add it to the publication and set its replica identity. Clients get a 503.",
    heals: "As soon as it is changed: each request tries again.",
    advice:
      "Make the role the table's owner, or a member of the owner, or publish by hand (ELECTRIC_MANUAL_TABLE_PUBLISHING). The line has the statements.",
    doctor: "tables"
  },
  "BATON-TABLE-PRIVILEGE": {
    severity: "warning",
    title: "The role may not read a table",
    happened: "Shapes or subsets of the table cannot be made. Clients get a 503.",
    heals: "As soon as it is granted: each request tries again.",
    advice: "Run the GRANT that the line names.",
    doctor: "tables"
  },
  "BATON-TABLE-UNPUBLISHED": {
    severity: "warning",
    title: "A table is not in the publication",
    happened:
      "Shapes of the table cannot be made, because tables are published by hand and this one is not, or the service may not add it. Clients get a 503.",
    heals: "As soon as it is added: each request tries again.",
    advice: "ALTER PUBLICATION … ADD TABLE …, as the line says.",
    doctor: "publication"
  },
  "BATON-TABLE-GONE": {
    severity: "warning",
    title: "A table that shapes use is gone",
    happened: "Somebody has dropped it. Its shapes are dropped, and who asks for one gets a 400.",
    heals: "There is nothing to heal, unless it was dropped by mistake.",
    advice: "If the table was to stay, restore it: shapes of it can be made as soon as it is there."
  },
  "BATON-TABLE-IDENTITY": {
    severity: "warning",
    title: "A table's replica identity is not FULL",
    happened:
      "Shapes of the table cannot be made, because old rows would be missing from its changes. Clients get a 503.",
    heals: "As soon as it is set: each request tries again.",
    advice: "ALTER TABLE … REPLICA IDENTITY FULL.",
    doctor: "tables"
  },
  "BATON-TABLE-FILTERED": {
    severity: "warning",
    title: "The publication leaves something of a table out",
    happened:
      "A row filter, a column list, generated columns that are not published or a partition published as its root keep shapes of the table from being made. Clients get a 503.",
    heals: "As soon as the publication is changed: each request tries again.",
    advice: "Change the publication as the line says.",
    doctor: "publication"
  },
  "BATON-TABLE-UNFIT": {
    severity: "warning",
    title: "A table cannot be replicated as it is defined",
    happened:
      "The table is unlogged, has a foreign partition, or Postgres would refuse writes to it. Clients get a 400 or a 503.",
    heals: "No.",
    advice: "Change the definition of the table, or the other publication, as the line says.",
    doctor: "tables"
  },
  "BATON-TABLE-LOCKED": {
    severity: "warning",
    title: "A table cannot be published because others hold it",
    happened:
      "A lock on the table, or a transaction that wrote to it, is open for too long. Clients get a 503.",
    heals: "When that transaction ends: each request tries again.",
    advice: "Find it with pg_stat_activity and pg_blocking_pids, and end it.",
    doctor: "tables"
  },
  "BATON-TABLE-FAILED": {
    severity: "warning",
    title: "A table cannot be published",
    happened: "Postgres refused what is needed to publish the table. Clients get a 503.",
    heals: "Each request tries again.",
    advice: "Mend what Postgres names in the line.",
    doctor: "tables"
  },
  "BATON-TABLE-WRITES": {
    severity: "warning",
    title: "Writes to a table would have been refused",
    happened:
      "With REPLICA IDENTITY FULL Postgres refused UPDATE and DELETE of a table, so it was given its old identity again.",
    heals: "Writes work again; shapes of the table cannot be made.",
    advice: "Change what the line names (a column without equality, another publication).",
    doctor: "tables"
  },
  "BATON-TABLE-CHANGED": {
    severity: "warning",
    title: "A look at changed tables failed",
    happened:
      "It could not be compared what tables are now, or what shapes on an altered or truncated table have, or the replica identity could not be set again. The readers of such shapes wait; all others go on.",
    heals: "As a rule: it is tried again.",
    advice: "Mend what Postgres names in the line."
  },
  "BATON-LOCK-UNSEEN": {
    severity: "warning",
    title: "It cannot be seen who holds the lock",
    happened: "An instance that waits could not ask Postgres who holds the advisory lock.",
    heals: "As a rule: it is asked again.",
    advice: "Look at the connection to the database.",
    doctor: "lock"
  },
  "BATON-LOCK-INVISIBLE": {
    severity: "warning",
    title: "A dead holder of the lock would not be noticed",
    happened: "The role may not see whether the session that holds the lock is alive.",
    heals: "No.",
    advice: "GRANT pg_read_all_stats to the role, or use the same role for all instances.",
    doctor: "lock"
  },
  "BATON-LOCK-BROKEN": {
    severity: "warning",
    title: "A dead holder of the lock was ended",
    happened:
      "A session held the lock without streaming and without a sign of life; this instance ended it and takes over.",
    heals: "Yes.",
    advice: "Look what happened to the machine or the network of the other instance.",
    doctor: "lock"
  },
  "BATON-LOCK-FENCED": {
    severity: "warning",
    title: "Another instance has taken over storage",
    happened:
      "This instance was frozen or cut off, and a newer one took over; it gives up the lock, and nothing of what it wrote since counts.",
    heals: "Yes: it waits for its turn.",
    advice: "If it comes often, look for a machine or a disk that stalls."
  },
  "BATON-LOCK-HANDBACK": {
    severity: "warning",
    title: "The lock was given back in a hurry",
    happened: "What came last could not be made durable before the lock was given back.",
    heals: "Yes: the next holder gets it from Postgres again.",
    advice: "Look at the disk, or at the bucket."
  }
} satisfies FaultRows
