import type { FaultCode } from "../../src/telemetry/faults/FaultTable.ts"
import type { FaultScene, WatchedService } from "./FaultScene.ts"

/** One fault, and how it is brought about. */
export interface Injection {
  /** What has happened, for people. */
  readonly name: string
  /** How an operator is told of it. */
  readonly code: FaultCode
  /** What he may be told instead, where two find it out at the same time. */
  readonly orCode?: FaultCode
  /** It takes no more than a few seconds, and stands for its kind in the tests. */
  readonly isQuick?: true
  /** Brings it about, and gives the service that has to tell of it. */
  readonly inject: (scene: FaultScene) => Promise<WatchedService>
  /** What it needs of the machine is not there. */
  readonly isPossible?: () => boolean
}
