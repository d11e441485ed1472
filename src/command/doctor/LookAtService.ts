import { Effect, Redacted } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import type { FaultsReport } from "../../operator/reports/FaultsReport.ts"
import { askService } from "../running/OperatorClient.ts"
import type { ServiceLook } from "./Facts.ts"

/** Where this machine may ask for faults: the certificate of the API names another host than this one. */
const urlOf = ({ dashboard, port, prometheusPort, tlsCertFile }: BatonConfig): string | undefined => {
  if (dashboard === "off") return undefined
  if (prometheusPort !== undefined) return `http://localhost:${prometheusPort}`
  return dashboard === "auto" && tlsCertFile === undefined && port !== 0
    ? `http://localhost:${port}`
    : undefined
}

/** What an instance that runs beside has to tell of itself; undefined where none does, or none can be asked. */
export const lookAtService = (config: BatonConfig): Effect.Effect<ServiceLook | undefined> => {
  const url = urlOf(config)
  if (url === undefined) return Effect.succeed(undefined)
  const secret = config.secret === undefined ? undefined : Redacted.value(config.secret)
  return askService<FaultsReport>({ url, secret }, "faults").pipe(
    Effect.map((faults) => ({ url, faults })),
    // Whether anybody answers is found out elsewhere; who answers may be somebody else.
    Effect.catch(() => Effect.succeed(undefined))
  )
}
