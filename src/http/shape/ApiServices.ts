import type { BatonConfig } from "../../config/BatonConfig.ts"
import type { HealthRef } from "../../health/HealthRef.ts"
import type { ShapeRegistry } from "../../registry/ShapeRegistry.ts"
import type { SubsetReader } from "../../registry/subset/SubsetReader.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { BucketStatus } from "../../storage/BucketStatus.ts"
import type { ShapeLogs } from "../../storage/ShapeLogs.ts"
import type { RequestCounts } from "../../telemetry/RequestCounts.ts"
import type { MetricEvents } from "../../telemetry/MetricEvents.ts"
import type { ServingLag } from "../../telemetry/ServingLag.ts"
import type { StreamStatus } from "../../telemetry/stream/StreamStatus.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { RequestTraces } from "../trace/RequestTraces.ts"
import type { Admission } from "./Admission.ts"
import type { Forwarder } from "../forward/Forwarder.ts"
import type { Authorize } from "../hook/Authorize.ts"
import type { CompressedChunks } from "../reply/CompressedChunks.ts"
import type { Conditions } from "./Conditions.ts"
import type { OperatorDoor } from "./OperatorDoor.ts"
import type { OpenBodies } from "../reply/OpenBodies.ts"
import type { Replies } from "../reply/Replies.ts"
import type { ShapeResolver } from "./ResolveShape.ts"

/** What the request handlers of one `ShapeApi` share. */
export interface ApiServices {
  readonly config: BatonConfig
  readonly timers: Timers
  readonly logs: ShapeLogs["Service"]
  readonly registry: ShapeRegistry["Service"]
  readonly health: HealthRef["Service"]
  /** The level of what is stored. */
  readonly level: Storage["Service"]["level"]
  /** Of the main process of an instance whose storage stands in one. */
  readonly bucket: BucketStatus | undefined
  readonly subsets: SubsetReader["Service"]
  readonly conditions: Conditions["Service"]
  readonly resolver: ShapeResolver
  readonly admission: Admission
  readonly bodies: OpenBodies
  /** Answers given, for metrics. */
  readonly requests: RequestCounts
  readonly servingLag: ServingLag
  /** How it stands with the stream, in the process that has it. */
  readonly stream: StreamStatus
  /** Undefined where nobody wants to know of each answer. */
  readonly events: MetricEvents | undefined
  /** Undefined where nothing is traced. */
  readonly traces: RequestTraces | undefined
  readonly replies: Replies
  readonly compressed: CompressedChunks
  readonly authorize: Authorize | undefined
  /** To the active instance, from one that is to hand requests on. */
  readonly forwarder: Forwarder | undefined
  /** What is for operators, where that is served beside the API. */
  readonly operator: OperatorDoor["Service"] | undefined
}
