import { PgError } from "../postgres/errors/PgError.ts"
import { pgErrorCodes } from "../postgres/errors/PgErrorCodes.ts"
import { DutyDied } from "../shared/Duty.ts"
import { NotWriting } from "../storage/NotWriting.ts"
import { StorageTooNew } from "../storage/levels/StorageTooNew.ts"
import { StorageUnusable } from "../storage/StorageUnusable.ts"
import type { FaultCode } from "../telemetry/faults/FaultTable.ts"

/** Under which code an operator is told of what keeps an instance from running. */
export const failureCode = (error: unknown): FaultCode => {
  if (error instanceof PgError) return pgErrorCodes[error.kind]
  if (error instanceof StorageUnusable)
    return error.reason === "tooNew" ? "BATON-STORAGE-NEWER" : "BATON-STORAGE-UNUSABLE"
  if (error instanceof StorageTooNew) return "BATON-STORAGE-NEWER"
  if (error instanceof DutyDied) return "BATON-SERVICE-STUMBLED"
  if (error instanceof NotWriting) return "BATON-LOCK-FENCED"
  return "BATON-SERVICE-FAILED"
}
