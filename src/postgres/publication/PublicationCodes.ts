import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { PublicationErrorReason } from "./PublicationError.ts"

/** Under which code an operator is told of a table that cannot be published. A reason that is not listed does not compile. */
export const publicationCodes: Readonly<Record<PublicationErrorReason, FaultCode>> = {
  lockTimeout: "BATON-TABLE-LOCKED",
  openTransaction: "BATON-TABLE-LOCKED",
  notPublished: "BATON-TABLE-UNPUBLISHED",
  identityNotFull: "BATON-TABLE-IDENTITY",
  filtered: "BATON-TABLE-FILTERED",
  publishedAsRoot: "BATON-TABLE-FILTERED",
  generatedColumns: "BATON-TABLE-FILTERED",
  virtualColumn: "BATON-TABLE-UNFIT",
  writesRefused: "BATON-TABLE-UNFIT",
  unlogged: "BATON-TABLE-UNFIT",
  foreignPartition: "BATON-TABLE-UNFIT",
  publication: "BATON-PUBLICATION-ALTERED",
  permission: "BATON-TABLE-OWNER",
  tableChanged: "BATON-TABLE-CHANGED",
  database: "BATON-TABLE-FAILED"
}
