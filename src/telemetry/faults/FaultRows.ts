import type { FaultKind } from "../../shared/TellFault.ts"

/** Rows of the table of faults, by code. */
export type FaultRows = Readonly<Record<`BATON-${string}-${string}`, Omit<FaultKind, "code">>>
