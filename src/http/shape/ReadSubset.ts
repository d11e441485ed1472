import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect, Result } from "effect"
import { formatOffset } from "../../shapes/LogOffset.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { SubsetQuery, SubsetSnapshot } from "../../registry/subset/SubsetReader.ts"
import { enclosed, failingWith } from "../../shared/Pieces.ts"
import { ShapeReadError, type ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { ApiReply, ReplyBody } from "../reply/ApiReply.ts"
import type { ApiServices } from "./ApiServices.ts"
import {
  catalogueUnreadable,
  failed,
  invalidRequest,
  knownUnavailable,
  type Failure
} from "../reply/Failures.ts"
import { type Facts, type Outdated, outdatedCondition, outdatedTable } from "./OnFreshFacts.ts"
import { jsonType } from "../reply/Replies.ts"
import type { LogRequest } from "./LogReply.ts"
import type { ResolvedShape } from "./ResolveShape.ts"
import type { ReadPosition } from "../request/ShapeParams.ts"
import { parseSubsetParams } from "../request/SubsetParams.ts"

/** Why parameters were refused on remembered facts, for requests that are being looked through again. */
const refused = new WeakMap<object, { readonly table: TableInfo; readonly refusal: Failure }>()

/**
 * Checks a subset's parameters against the shape's table: before the shape is looked up or made. Nothing is refused on
 * remembered facts.
 */
export const checkSubset = (
  services: ApiServices,
  resolved: ResolvedShape,
  values: Readonly<Record<string, unknown>>,
  facts: Facts
): Effect.Effect<SubsetQuery, Failure | Outdated> => {
  const params = parseSubsetParams(values, services.config.limits)
  if (Result.isFailure(params)) return Effect.fail(invalidRequest({ subset: params.failure }))
  // Without the catalogue nothing can be said about columns and types, and the query could not run either.
  const { table } = resolved
  if (table === undefined) return Effect.fail(catalogueUnreadable)
  const before = refused.get(values)
  if (facts === "table" && before?.table === table) return Effect.fail(before.refusal)
  return services.conditions.subset(table, resolved.queryable, params.success).pipe(
    Effect.mapError((error) => {
      if (error._tag !== "ConditionRefused") return catalogueUnreadable
      const refusal = invalidRequest({
        subset: {
          [error.parameter]: [error.message],
          ...(error.also === undefined ? {} : { [error.also.parameter]: [error.also.message] })
        }
      })
      if (facts !== "remembered") return refusal
      refused.set(values, { table, refusal })
      return { ...outdatedTable, otherwise: refusal }
    })
  )
}

const metadata = (snapshot: Omit<SubsetSnapshot, "rows" | "byteLength">): string =>
  JSON.stringify({
    snapshot_mark: snapshot.snapshotMark,
    database_lsn: String(snapshot.databaseLsn),
    xip_list: snapshot.xipList.map(String),
    xmax: String(snapshot.xmax),
    xmin: String(snapshot.xmin)
  })

const end = Buffer.from("]}")

const unreadable = (shape: ShapeHandle, error: unknown): ShapeReadError =>
  new ShapeReadError({
    handle: shape.handle,
    message: `The answer to a subset: ${error instanceof Error ? error.message : String(error)}`
  })

const subsetBody = (shape: ShapeHandle, { byteLength, rows, ...snapshot }: SubsetSnapshot): ReplyBody => {
  const start = Buffer.from(`{"metadata":${metadata(snapshot)},"data":[`)
  return {
    _tag: "Stream",
    pieces: (buffer) =>
      enclosed(
        failingWith(rows(buffer), (error) => unreadable(shape, error)),
        start,
        () => end
      ),
    byteLength: start.length + byteLength + end.length
  }
}

/**
 * Where the client's stream goes on after a subset: where it was. A response must not move it past entries that
 * were not delivered, although clients would follow; for `now` the end is taken before the query, so that nothing
 * falls between the two.
 */
const streamOffset = (services: ApiServices, shape: ShapeHandle, position: ReadPosition): string =>
  position.now
    ? formatOffset(services.logs.lastOffset(shape))
    : position.offset.tx < 0n
      ? formatOffset(services.logs.firstOffset(shape))
      : position.text

/** Runs the query, whose failures are known before anything is sent, and streams its rows. */
export const readSubset = Effect.fnUntraced(function* (
  services: ApiServices,
  { context, handle, params, shape }: LogRequest,
  query: SubsetQuery
) {
  const offset = streamOffset(services, shape, params.position)
  const snapshot = yield* services.subsets.read(shape, query).pipe(
    Effect.catchTags({
      SubsetRefused: ({ message }) => Effect.fail(invalidRequest({ subset: { where: message } })),
      SubsetTooLarge: ({ message }) => Effect.fail(invalidRequest({ subset: { limit: [message] } })),
      SubsetOutdated: ({ refusal }) =>
        Effect.fail(
          refusal === undefined
            ? outdatedTable
            : outdatedCondition(invalidRequest({ subset: { where: refusal } }))
        ),
      SubsetUnavailable: ({ message }) => Effect.fail(knownUnavailable(message)),
      SubsetFailed: ({ message }) =>
        reportFault("BATON-SHAPE-SUBSET", {
          message: `A subset query failed: ${message}. The client gets a 500 and tries again.`,
          about: message,
          everyMillis: 10_000
        }).pipe(Effect.andThen(Effect.fail(failed("The subset query failed"))))
    })
  )
  const headers = services.replies.headers(context, "subset", jsonType)
  headers.push("electric-snapshot", "true", "electric-handle", handle)
  if (!params.live) headers.push("electric-schema", shape.definition.schemaHeader)
  headers.push("electric-offset", offset)
  const reply: ApiReply = services.replies.make(200, headers, subsetBody(shape, snapshot))
  return reply
})
