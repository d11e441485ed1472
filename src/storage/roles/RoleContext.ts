import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { Complaints } from "../Complaints.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"
import type { Durability } from "../durability/Durability.ts"
import type { EngineListeners } from "../EngineListeners.ts"
import type { EngineOptions } from "../EngineOptions.ts"
import type { Waiters } from "../state/Waiters.ts"
import type { StorageContents } from "./StorageContents.ts"

/** What every role of a storage engine works with. */
export interface RoleContext {
  readonly paths: StoragePaths
  readonly options: EngineOptions
  readonly durability: Durability
  readonly timers: Timers
  readonly waiters: Waiters
  readonly listeners: EngineListeners
  readonly complaints: Complaints
  readonly contents: StorageContents
  readonly warn: (message: string, code: FaultCode) => void
  /** How often a follower looks for new records while somebody waits for them. */
  readonly eagerPollMillis: () => number
}
