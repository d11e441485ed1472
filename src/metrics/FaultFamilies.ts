import { faultCodes, faultTable } from "../telemetry/faults/FaultTable.ts"
import { live, type MetricFamily } from "./MetricFamily.ts"

const lasting = faultCodes.filter((code) => faultTable[code].lasts === true)

/** What an operator was told of, by code: all codes stand there from the start, so that the first time is seen as an increase. */
export const faultFamilies: ReadonlyArray<MetricFamily> = [
  live({
    name: "baton_faults_total",
    type: "counter",
    help: "How often something was reported that an operator should know, by its code: see the page of errors.",
    labels: ["code"],
    samples: ({ faults }) => faultCodes.map((code) => ({ labels: { code }, value: faults.total(code) }))
  }),
  live({
    name: "baton_fault_active",
    type: "gauge",
    help: "1 while a fault lasts that was reported, by its code. Codes of what happens and is over have no such metric.",
    labels: ["code"],
    samples: ({ faults }) =>
      lasting.map((code) => ({ labels: { code }, value: faults.isActive(code) ? 1 : 0 }))
  })
]
