import { quoteLiteral } from "../postgres/Identifiers.ts"

/** SQL for the key of the lock of that name, as every version of this service and its peers compute it. */
export const lockKey = (lockName: string): string => `hashtext(${quoteLiteral(lockName)})`

/** SQL condition on a row `l` of `pg_locks`: somebody in this database holds the lock. */
export const isHeld = (lockName: string): string => `l.granted AND ${isWanted(lockName)}`

/**
 * SQL condition on a row `l` of `pg_locks`: somebody in this database holds the lock or waits for it. Postgres shows an advisory lock on
 * a bigint as two halves, and `hashtext` is a signed 32-bit number, so the upper half is all ones when it is negative.
 * Source: PostgreSQL documentation, view `pg_locks`.
 */
export const isWanted = (lockName: string): string =>
  "l.locktype = 'advisory' AND l.objsubid = 1 " +
  "AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) " +
  `AND ((l.classid::bigint << 32) | l.objid::bigint) = ${lockKey(lockName)}`
