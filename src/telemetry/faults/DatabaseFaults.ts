import type { FaultRows } from "./FaultRows.ts"

const tried =
  "Yes: it is tried again until it succeeds, with growing pauses. Shapes that exist are served meanwhile."
const fatal =
  "No. At the start the command ends with this line and exit code 1; a service that was active before serves on, and tries again."

/** Reaching Postgres, being let in, and what it answers. */
export const databaseFaults = {
  "BATON-DB-REFUSED": {
    severity: "critical",
    lasts: true,
    title: "Postgres refuses connections",
    happened: "Nothing listens at the address of the database.",
    heals: tried,
    advice: "Check that Postgres runs, and listens on the host and port of DATABASE_URL.",
    doctor: "connection"
  },
  "BATON-DB-UNREACHABLE": {
    severity: "critical",
    lasts: true,
    title: "Postgres cannot be reached",
    happened:
      "Connecting timed out, there is no route, the host name could not be looked up, or a proxy does not answer.",
    heals: tried,
    advice: "Check host, DNS, network and firewalls between this machine and the database.",
    doctor: "connection"
  },
  "BATON-DB-CLOSED": {
    severity: "critical",
    lasts: true,
    title: "The connection to Postgres was closed",
    happened: "The server, a proxy, or somebody with pg_terminate_backend ended the connection.",
    heals: tried,
    advice: "If it keeps happening, look at the server's log, its time-outs, and at proxies in between.",
    doctor: "connection"
  },
  "BATON-DB-SHUTDOWN": {
    severity: "critical",
    lasts: true,
    title: "Postgres is shutting down or starting",
    happened: "The server does not accept connections, because it starts, stops or recovers.",
    heals: tried,
    advice: "Wait for the server; if it does not come back, look at its log.",
    doctor: "connection"
  },
  "BATON-DB-NAME": {
    severity: "critical",
    lasts: true,
    title: "The database or its host is not known",
    happened: "The host name, the database, the branch or the endpoint of DATABASE_URL does not exist.",
    heals: fatal,
    advice: "Correct DATABASE_URL, or create what it names.",
    doctor: "connection"
  },
  "BATON-DB-TLS": {
    severity: "critical",
    lasts: true,
    title: "No encrypted connection that can be trusted",
    happened: "The server has no TLS, demands it, or its certificate could not be verified.",
    heals: fatal,
    advice:
      "Check sslmode in DATABASE_URL, ELECTRIC_DATABASE_CA_CERTIFICATE_FILE, and the server's certificate.",
    doctor: "connection"
  },
  "BATON-DB-LOGIN": {
    severity: "critical",
    lasts: true,
    title: "Postgres does not let this role in",
    happened: "User name or password are wrong, or pg_hba.conf does not allow this host, user or database.",
    heals: fatal,
    advice: "Check user and password in DATABASE_URL, and pg_hba.conf, replication connections included.",
    doctor: "connection"
  },
  "BATON-DB-REPLICATION": {
    severity: "critical",
    lasts: true,
    title: "The role may not replicate",
    happened: "The role of DATABASE_URL lacks the REPLICATION attribute (or its provider's role for it).",
    heals: fatal,
    advice: "ALTER ROLE … REPLICATION, or grant the provider's role; the line has the statement.",
    doctor: "role"
  },
  "BATON-DB-POOLER": {
    severity: "critical",
    lasts: true,
    title: "A connection pooler is in the way",
    happened:
      "DATABASE_URL leads to a pooler that passes no replication connections on, or cannot log in itself.",
    heals: "A pooler that cannot log in may pass; one that passes no replication on does not.",
    advice: "Let DATABASE_URL lead to Postgres itself, and put the pooler into ELECTRIC_POOLED_DATABASE_URL.",
    doctor: "connection"
  },
  "BATON-DB-QUOTA": {
    severity: "critical",
    lasts: true,
    title: "A quota of the database provider is used up",
    happened: "The provider lets nobody in, because time or traffic of the project are used up.",
    heals: fatal,
    advice: "Raise the quota at the provider.",
    doctor: "connection"
  },
  "BATON-DB-RESOURCES": {
    severity: "critical",
    lasts: true,
    title: "Postgres has no connection, walsender or slot left",
    happened:
      "Of its limits one is reached: max_connections, max_wal_senders, max_replication_slots or memory.",
    heals: tried,
    advice:
      "Lower ELECTRIC_DB_POOL_SIZE, end what holds the others, or raise the limit that the line names and restart Postgres.",
    doctor: "limits"
  },
  "BATON-DB-READONLY": {
    severity: "critical",
    lasts: true,
    title: "The database is read-only",
    happened: "DATABASE_URL leads to a standby, or default_transaction_read_only is on.",
    heals: tried,
    advice: "Let DATABASE_URL lead to the primary, also after a failover.",
    doctor: "connection"
  },
  "BATON-DB-DISKFULL": {
    severity: "critical",
    lasts: true,
    title: "The disk of the database server is full",
    happened: "Postgres could not write.",
    heals: tried,
    advice: "Free space on the database server.",
    doctor: "connection"
  },
  "BATON-DB-FAILED": {
    severity: "critical",
    lasts: true,
    title: "Postgres refused a statement of the service",
    happened:
      "A statement that the service depends on failed otherwise than by one of the other codes. The line has Postgres' words.",
    heals: tried,
    advice: "Mend what Postgres names, a time-out or a missing function, say.",
    doctor: "connection"
  },
  "BATON-DB-PRIVILEGE": {
    severity: "critical",
    lasts: true,
    title: "The role lacks a privilege that the service needs",
    happened: "Postgres refused the service itself something for want of a privilege.",
    heals: "As soon as it is granted: it is tried again.",
    advice: "Run the GRANT that the line names.",
    doctor: "role"
  },
  "BATON-DB-WALLEVEL": {
    severity: "critical",
    lasts: true,
    title: "wal_level is not logical",
    happened: "Postgres does not write what logical replication needs.",
    heals: fatal,
    advice:
      "Set wal_level = logical in Postgres (at providers: their parameter for logical replication), and restart it.",
    doctor: "wal_level"
  },
  "BATON-DB-SETUP": {
    severity: "critical",
    lasts: true,
    title: "The database is not set up as it must be",
    happened:
      "The publication is not there and may not be made, the slot is not ours, or the server is too old or too new for what is asked.",
    heals: fatal,
    advice: "Change the database as the line says, and start again.",
    doctor: "publication"
  },
  "BATON-DB-CATALOGUE": {
    severity: "warning",
    title: "The catalogue cannot be read",
    happened:
      "What the service must know of tables could not be asked of Postgres; requests that need it get a 503.",
    heals: "Yes, when the database answers.",
    advice: "Look at the connection to the database, and at its load.",
    doctor: "connection"
  },
  "BATON-DB-SETTING": {
    severity: "warning",
    title: "Postgres refuses a setting of the replication connection",
    happened:
      "A SET on the replication connection failed. Everything works, but Postgres may notice late when this process is gone.",
    heals: "No, and nothing depends on it.",
    advice: "Allow the setting, or live with a later takeover after a crash.",
    doctor: "connection"
  },
  "BATON-DB-ADVICE": {
    severity: "warning",
    title: "A setting of the server that will be trouble",
    happened:
      "The server is set so that the service works, but not as well as it could. The line names the setting.",
    heals: "No.",
    advice: "Change the setting that the line names.",
    doctor: "server"
  },
  "BATON-DB-TIMEZONES": {
    severity: "warning",
    title: "Postgres has other time zone rules than Node",
    happened: "Conditions that need the rules of a time zone are evaluated by Postgres, which takes longer.",
    heals: "No.",
    advice: "Bring the older of the two up to date, and start again."
  },
  "BATON-STREAM-WAITS": {
    severity: "warning",
    title: "The stream waits for the catalogue",
    happened: "A change came of a table about which Postgres must be asked first, and it did not answer.",
    heals: "Yes: it is asked again and again. Until then changes stand still, and WAL gathers in Postgres.",
    advice: "Look at locks on the catalogue, at time-outs of the role, and at the pool of connections.",
    metric: "electric_postgres_replication_slot_confirmed_flush_lsn_lag",
    doctor: "slot"
  }
} satisfies FaultRows
