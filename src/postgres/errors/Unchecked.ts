import { Effect } from "effect"
import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import type { PgError } from "./PgError.ts"

/** Says at most so often what could not be looked at. */
const everyMillis = 60_000

/** A look at the database that is repeated has failed. That the database is out of reach is told of by those who need it. */
export const unchecked = (error: PgError, code: FaultCode, message: string): Effect.Effect<void> =>
  error.unreachable
    ? Effect.logDebug(message)
    : reportFault(code, { message, about: error.kind, everyMillis })
