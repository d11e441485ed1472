/**
 * Why a heartbeat does not come through.
 *
 * `storage`           what comes cannot be made durable
 * `held`              the service takes long over what came before
 * `busy`              Postgres decodes what was written before, and gets on
 * `databaseSilent`    Postgres cannot be asked
 * `databaseDiskFull`  its disk is full
 * `databaseReadOnly`  it takes no writes
 * `standby`           it is a standby: another server is the primary
 * `slotMissing`       there is no slot, `slotInvalidated`: it is of no use any more
 * `slotInactive`      nobody streams from it, `slotTaken`: somebody else does
 * `standbySlots`      Postgres waits for standbys to have what it would send
 * `walsenderStopped`  the process that streams to us does nothing, and answers nothing
 * `notArriving`       it has sent what does not arrive
 * `notWritten`        the heartbeat could not be written, `mayNotSend`: the role may not
 * `unknown`           the process that streams to us answers, and does not get on
 */
export const silenceCauses = [
  "storage",
  "held",
  "busy",
  "databaseSilent",
  "databaseDiskFull",
  "databaseReadOnly",
  "standby",
  "slotMissing",
  "slotInvalidated",
  "slotInactive",
  "slotTaken",
  "standbySlots",
  "walsenderStopped",
  "notArriving",
  "notWritten",
  "mayNotSend",
  "unknown"
] as const

export type SilenceCause = (typeof silenceCauses)[number]

interface Silence {
  readonly slotName: string
  readonly unprovenMillis: number
  /** What the cause is about: a name, a number, the words of Postgres. */
  readonly detail: string
}

/** What happened, whether it heals by itself, what to do. */
const texts: Readonly<Record<SilenceCause, (silence: Silence) => string>> = {
  storage: () =>
    "What Postgres sends cannot be made durable: the disk or the bucket refuses it. It heals when it can be written again. Look at BATON-STORAGE and BATON-BUCKET lines of the log.",
  held: () =>
    "This service takes long over what it has received: conditions that Postgres decides, or a slow disk. It heals as it gets on. Look at its processor, its disk, and at conditions in the log.",
  busy: ({ detail }) =>
    `Postgres is decoding what was written before: a large transaction, as a rule.${detail} It heals when that is done. Nothing is to be done; smaller transactions, or a larger logical_decoding_work_mem, make it quicker.`,
  databaseSilent: ({ detail }) =>
    `Postgres cannot be asked why: ${detail} It heals when it answers again. Look at the database server and the network.`,
  databaseDiskFull: ({ detail }) =>
    `The disk of the database server is full: ${detail} It heals when there is room. Make room, and see how much WAL slots retain: SELECT slot_name, wal_status, restart_lsn FROM pg_replication_slots.`,
  databaseReadOnly: ({ detail }) =>
    `The database takes no writes: ${detail} Nothing is lost; changes come when it takes them again. Find out who made it read-only: a full disk at a provider, default_transaction_read_only, a failover.`,
  standby: () =>
    "The server has become a standby: another one is the primary now. It heals when the address of the database leads to the primary. Let DATABASE_URL lead there.",
  slotMissing: ({ slotName }) =>
    `The replication slot ${slotName} is gone, although this instance streams. It heals with the end of the connection: a new slot is made, and shapes are compared with the database. Restart the active instance, and find out who dropped it.`,
  slotInvalidated: ({ detail, slotName }) =>
    `Postgres has invalidated the replication slot ${slotName} (${detail}). It heals with the end of the connection: a new slot is made, and shapes are compared with the database. Raise max_slot_wal_keep_size if WAL was removed.`,
  slotInactive: ({ slotName }) =>
    `Nobody streams from the replication slot ${slotName}: the connection is dead, and that has not been noticed yet. It heals within wal_sender_timeout. Look at the network if it comes again.`,
  slotTaken: ({ detail, slotName }) =>
    `Backend ${detail} streams from the replication slot ${slotName}, and it is not ours. It heals when our connection is found dead. See SELECT * FROM pg_stat_activity WHERE pid = ${detail}.`,
  standbySlots: ({ detail }) =>
    `Postgres sends nothing before the standbys of synchronized_standby_slots have it, and waits for: ${detail}. It heals when those standbys stream again. Start them, or take their slots out of synchronized_standby_slots and reload Postgres.`,
  walsenderStopped: ({ detail }) =>
    `The process of Postgres that streams to this service answers nothing and does not get on (it waits for ${detail}): it was stopped, its machine stands still, or the network swallows what it sends. It heals when it goes on, or when the connection is found dead and made anew. Look at the database server and the network; pg_terminate_backend of that process ends it.`,
  notArriving: () =>
    "Postgres has sent what does not arrive here. It heals when the connection is found dead, within wal_sender_timeout. Look at the network, and at a proxy between this service and Postgres.",
  notWritten: ({ detail }) =>
    `A heartbeat cannot be written to the database: ${detail} It is tried again. Mend what Postgres names.`,
  mayNotSend: ({ detail }) =>
    `A heartbeat cannot be written to the database: ${detail} Shapes are kept up to date, but nobody tells if changes stop coming. GRANT EXECUTE ON FUNCTION pg_logical_emit_message, with its parameters as \\df has them, to the role, or set BATON_HEARTBEAT_INTERVAL=0.`,
  unknown: ({ detail }) =>
    `The process of Postgres that streams to this service answers and does not get on (it waits for ${detail}). It is looked at again. See pg_stat_replication and the log of Postgres; a restart of the active instance begins the stream anew.`
}

const seconds = (millis: number): string => `${Math.round(millis / 1000)} s`

export const explainSilence = (cause: SilenceCause, silence: Silence): string =>
  `For ${seconds(silence.unprovenMillis)} nothing is known to have come from the database. ${texts[cause](silence)}`
