import type { FaultKind } from "../../shared/TellFault.ts"
import { databaseFaults } from "./DatabaseFaults.ts"
import { replicationFaults } from "./ReplicationFaults.ts"
import { serviceFaults } from "./ServiceFaults.ts"
import { storageFaults } from "./StorageFaults.ts"

const rows = { ...databaseFaults, ...replicationFaults, ...storageFaults, ...serviceFaults }

/** What an operator may be told of, each by its own code. A code never changes its meaning. */
export type FaultCode = keyof typeof rows

/**
 * The one table of what an operator may be told of: `docs/errors.md` is made of it. Each code that stands in the log has a row here,
 * and `baton_faults_total` counts it.
 */
export const faultTable = Object.fromEntries(
  Object.entries(rows).map(([code, row]) => [code, { ...row, code }])
) as unknown as Readonly<Record<FaultCode, FaultKind>>

/** In the order of the table. */
export const faultCodes = Object.keys(rows) as ReadonlyArray<FaultCode>
