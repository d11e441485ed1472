import { ConfigError } from "../config/ConfigError.ts"
import { ListenError } from "../http/node/HttpServer.ts"
import { failureCode } from "../instance/FailureCode.ts"
import { InstanceFailed } from "../instance/Instance.ts"
import type { FaultCode } from "../telemetry/faults/FaultTable.ts"

/** The code of the last line of a process that cannot go on. */
export const exitCode = (error: unknown): FaultCode => {
  if (error instanceof InstanceFailed) return failureCode(error.cause)
  if (error instanceof ConfigError) return "BATON-CONFIG-INVALID"
  if (error instanceof ListenError) return "BATON-START-PORT"
  const code = failureCode(error)
  return code === "BATON-SERVICE-FAILED" ? "BATON-START-FAILED" : code
}
