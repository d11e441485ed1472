import type { Lsn } from "../../shared/Lsn.ts"

/** Tells a client that it has everything up to an LSN. */
export const upToDateMessage = (lsn: Lsn): string =>
  `{"headers":{"control":"up-to-date","global_last_seen_lsn":"${lsn}"}}`
