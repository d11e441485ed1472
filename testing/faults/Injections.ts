import { databaseInjections } from "./DatabaseInjections.ts"
import type { Injection } from "./Injection.ts"
import { storageInjections } from "./StorageInjections.ts"
import { tableInjections } from "./TableInjections.ts"

/** All faults that can be brought about, each with the code that an operator is told. */
export const injections: ReadonlyArray<Injection> = [
  ...databaseInjections,
  ...tableInjections,
  ...storageInjections
]
