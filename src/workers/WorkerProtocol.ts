import type { NotedFault } from "../shared/FaultRecord.ts"
import type { NotActive, SnapshotFailed } from "../registry/ShapeRegistry.ts"
import type { HealthState } from "../health/HealthState.ts"
import type { PgErrorKind } from "../postgres/errors/PgError.ts"
import type { ProcessReport } from "../telemetry/ProcessReport.ts"
import type { StreamReport } from "../telemetry/stream/StreamStatus.ts"
import type { PlainConfig } from "./PlainConfig.ts"

/** Raised with every change of what both say below, the configuration included. */
export const workerProtocol = 8

/** Of which release a process is, and what it speaks. Release 0.1.0 does not say it. */
export interface Speaker {
  readonly release: string
  readonly protocol: number
}

/**
 * What the main process and a worker say to each other, over the channel that Node puts between a process and its
 * children. Plain data that the structured clone algorithm carries.
 *
 * A worker begins with `Hello`, is given `Start`, and says `Ready` when it listens. It reads everything else from
 * storage. The files that a worker is started from may be those of another release by then; see `OtherRelease.ts`.
 */
export type ToWorker =
  | {
      readonly _tag: "Start"
      /** 1 for the first. */
      readonly number: number
      readonly config: PlainConfig
      readonly state: HealthState
      readonly speaker?: Speaker
      /** Where mirrors are handed on to that want to be sent the journal; absent without a bucket. */
      readonly tailSocket?: string
    }
  /** Sent at every change, and again every `heartbeatMillis`. */
  | {
      readonly _tag: "State"
      readonly state: HealthState
      /** Where the active instance can be reached, to a worker of a replica. */
      readonly writerUrl?: string | undefined
      /** How it stands with the stream. */
      readonly stream?: StreamReport | undefined
    }
  /** What was remembered of a table may be wrong. */
  | { readonly _tag: "TableChanged"; readonly oid: number }
  /** Shapes that are gone, ahead of the journal's record of it. */
  | { readonly _tag: "Dropped"; readonly ids: Uint32Array }
  /** Replies are to ask their clients to connect elsewhere; from now on `Running` is reported. */
  | { readonly _tag: "Drain" }
  /** The grace period is over: held long polls are answered as if their time were. */
  | { readonly _tag: "Expire" }
  /** End, whatever is running. */
  | { readonly _tag: "Stop" }
  | { readonly _tag: "AskReport"; readonly id: number }
  /** How many requests wait for a change of each of these shapes? */
  | { readonly _tag: "AskReaders"; readonly id: number; readonly shapes: Uint32Array }
  | { readonly _tag: "Answer"; readonly id: number; readonly answer: Answers[keyof Answers] }

export type ToMain =
  | { readonly _tag: "Hello"; readonly speaker?: Speaker }
  | { readonly _tag: "Ready" }
  /** A request came to an instance that had gone to sleep. */
  | { readonly _tag: "Wake" }
  /** Ids of shapes that were used since the last such message. */
  | { readonly _tag: "Touched"; readonly ids: Uint32Array }
  /** To so many who wait, changes up to a commit were handed at a moment (milliseconds since 1970). */
  | {
      readonly _tag: "Delivered"
      readonly lsns: Float64Array
      readonly millis: Float64Array
      readonly counts: Uint32Array
    }
  /** Requests in progress, while draining. */
  | { readonly _tag: "Running"; readonly requests: number }
  | { readonly _tag: "Report"; readonly id: number; readonly report: ProcessReport }
  /** In the order in which it was asked. */
  | { readonly _tag: "Readers"; readonly id: number; readonly counts: Uint32Array }
  | { readonly _tag: "Ask"; readonly id: number; readonly question: Question }
  /** Something was reported to the operator: it is in the log, and counted in the main process. */
  | { readonly _tag: "Fault"; readonly fault: NotedFault }

/** What a worker cannot do by itself. */
export type Question =
  /** Make this shape, or say which one it is. */
  | {
      readonly _tag: "Create"
      /** `ShapeDefinition` as JSON, which is how shapes are stored. */
      readonly definition: string
    }
  | { readonly _tag: "Drop"; readonly handle: string; readonly reason: string }
  /** Answered when everything that the main process has let its clients know is in the journal's files. */
  | { readonly _tag: "Settle" }
  /** A statement for the catalogue. */
  | { readonly _tag: "Query"; readonly sql: string; readonly params: ReadonlyArray<unknown> }
  /** A request for operators: what it tells is known to the main process. */
  | {
      readonly _tag: "Operate"
      readonly method: string
      readonly target: string
      readonly headers: Readonly<Record<string, string>>
    }

type NotActiveAnswer = {
  readonly _tag: "NotActive"
  readonly why: NotActive["why"]
  readonly message: string
}

export interface Answers {
  readonly Create:
    | { readonly _tag: "Created"; readonly handle: string }
    | {
        readonly _tag: "SnapshotFailed"
        readonly kind: SnapshotFailed["kind"]
        readonly message: string
      }
    | NotActiveAnswer
  readonly Drop: { readonly _tag: "Dropped"; readonly found: boolean } | NotActiveAnswer
  /** See `ShapeRegistry`. */
  readonly Settle: { readonly _tag: "Settled"; readonly isAll: boolean }
  readonly Query:
    | { readonly _tag: "Rows"; readonly rows: ReadonlyArray<object> }
    | {
        readonly _tag: "Failed"
        readonly error: {
          readonly kind: PgErrorKind
          readonly message: string
          readonly code: string | undefined
          readonly serverMessage: string | undefined
          readonly serverDetail: string | undefined
          readonly routine: string | undefined
        }
      }
  readonly Operate: {
    readonly _tag: "Operated"
    readonly status: number
    readonly headers: ReadonlyArray<string>
    readonly body: Uint8Array
  }
}
