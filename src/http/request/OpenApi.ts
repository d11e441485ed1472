import type { Parameter, Parameters, ParameterSchema } from "./Parameters.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { otherParameters, shapeParameters } from "./ShapeParams.ts"
import { subsetParameters } from "./SubsetParams.ts"

type Json = Readonly<Record<string, unknown>>

const queryParameter = (name: string, parameter: Parameter<unknown>, required: boolean): Json => ({
  name,
  in: "query",
  required,
  description: parameter.description,
  ...(parameter.style === "map" ? { style: "deepObject", explode: true } : {}),
  schema: parameter.schema
})

const queryParameters = (parameters: Parameters, prefix: string, required: ReadonlyArray<string>) =>
  Object.entries(parameters).map(([name, parameter]) =>
    queryParameter(prefix + name, parameter, required.includes(name))
  )

const { subset: _subset, ...mainParameters } = shapeParameters
const secretParameters = { secret: otherParameters.secret, api_secret: otherParameters.api_secret }

const bodyProperties: Json = Object.fromEntries(
  Object.entries(subsetParameters).map(([name, { description, schema }]) => [
    name,
    { ...schema, description }
  ])
)

const text = (description: string, schema: ParameterSchema = {}): Json => ({
  description,
  schema: { type: "string", ...schema }
})

const headers = {
  "electric-handle": text("Names the shape; send it back as `handle`."),
  "electric-offset": text("How far this response reaches; send it back as `offset`."),
  "electric-schema": text("JSON: column names and their types. Not on live responses."),
  "electric-cursor": text(
    "On live responses, and on parts of others whose request had a `cursor`: send it back as `cursor`."
  ),
  "electric-up-to-date": text("Present, and empty, when the response reaches the end of the log."),
  "electric-has-data": text("`false` when the response only says that nothing is new.", {
    enum: ["true", "false"]
  }),
  "electric-snapshot": text("`true` on subset responses."),
  "retry-after": text("Seconds to wait before the next attempt."),
  etag: text("For `If-None-Match`.")
} satisfies Record<string, Json>

const only = (...names: ReadonlyArray<keyof typeof headers>): Json =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]))

const schema = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const json = (description: string, of: Json, responseHeaders: Json = {}): Json => ({
  description,
  headers: responseHeaders,
  content: { "application/json": { schema: of } }
})

const failures: Json = {
  "400": json("The request is not valid; the body says why, by parameter.", schema("InvalidRequest")),
  "401": json("The secret is missing or wrong.", schema("Message")),
  "409": json(
    "The client's copy cannot be continued: forget it and start again at `offset=-1`, with the handle given here if there is one.",
    schema("Messages"),
    only("electric-handle", "etag")
  ),
  "500": json("Something is wrong with the service; the body has no details.", schema("Error")),
  "503": json("Not now; try again later.", schema("Message"), only("retry-after"))
}

const shapeResponses: Json = {
  "200": {
    description:
      "Log entries after the offset; with `live_sse` as a stream of events; for a subset request its rows.",
    headers: only(
      "electric-handle",
      "electric-offset",
      "electric-schema",
      "electric-cursor",
      "electric-up-to-date",
      "electric-has-data",
      "electric-snapshot",
      "etag"
    ),
    content: {
      "application/json": { schema: { oneOf: [schema("Messages"), schema("Subset")] } },
      "text/event-stream": { schema: { type: "string" } }
    }
  },
  "304": {
    description: "Unchanged since the response with the given etag.",
    headers: only("electric-handle", "electric-offset", "etag")
  },
  ...failures
}

const shapeQuery = [
  ...queryParameters(mainParameters, "", ["table", "offset"]),
  ...queryParameters(subsetParameters, "subset__", []),
  ...queryParameters(otherParameters, "", [])
]

const schemas: Json = {
  Messages: { type: "array", items: schema("LogMessage") },
  LogMessage: {
    type: "object",
    required: ["headers"],
    description: "A change (has `key`), a control message or an event. Unknown headers are to be ignored.",
    properties: {
      headers: {
        type: "object",
        properties: {
          operation: { enum: ["insert", "update", "delete"] },
          control: { enum: ["up-to-date", "must-refetch", "snapshot-end"] },
          event: { enum: ["move-in", "move-out"] },
          relation: { type: "array", items: { type: "string" } },
          txids: { type: "array", items: { type: "integer" } },
          lsn: { type: "string" },
          op_position: { type: "integer" },
          last: { type: "boolean" }
        }
      },
      key: { type: "string" },
      value: { type: "object", additionalProperties: { type: ["string", "null"] } },
      old_value: { type: "object", additionalProperties: { type: ["string", "null"] } }
    }
  },
  Subset: {
    type: "object",
    required: ["metadata", "data"],
    properties: {
      metadata: {
        type: "object",
        required: ["xmin", "xmax", "xip_list", "database_lsn", "snapshot_mark"],
        properties: {
          xmin: { type: "string" },
          xmax: { type: "string" },
          xip_list: { type: "array", items: { type: "string" } },
          database_lsn: { type: "string" },
          snapshot_mark: { type: "integer" }
        }
      },
      data: { type: "array", items: schema("LogMessage") }
    }
  },
  InvalidRequest: {
    type: "object",
    properties: { message: { type: "string" }, errors: { type: "object" }, error: { type: "string" } }
  },
  Message: {
    type: "object",
    required: ["message"],
    properties: { message: { type: "string" }, code: { type: "string" } }
  },
  Error: {
    type: "object",
    properties: { error: { type: "string" }, message: { type: "string" } }
  }
}

const build = (): Json => ({
  openapi: "3.1.0",
  info: {
    title: "Baton",
    version: batonVersion,
    description:
      "Shapes of Postgres tables over HTTP: their rows, then every change, for as long as you like.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" }
  },
  paths: {
    "/v1/shape": {
      get: {
        operationId: "readShape",
        summary: "Read a shape",
        parameters: shapeQuery,
        responses: shapeResponses
      },
      head: {
        operationId: "headShape",
        summary: "As GET, without the body",
        parameters: shapeQuery,
        responses: shapeResponses
      },
      post: {
        operationId: "readShapeByPost",
        summary: "As GET, with parameters in the body where a URL would be too long",
        parameters: shapeQuery,
        requestBody: {
          required: false,
          description:
            "Parameters of a subset; or an object with those under `subset`, and main parameters beside it.",
          content: { "application/json": { schema: { type: "object", properties: bodyProperties } } }
        },
        responses: {
          ...shapeResponses,
          "413": json("The body is larger than `BATON_MAX_BODY` (8 MB).", schema("Error"))
        }
      },
      delete: {
        operationId: "deleteShape",
        summary: "Drop a shape, where the service allows it",
        parameters: queryParameters({ ...mainParameters, ...secretParameters }, "", []),
        responses: {
          "202": { description: "Dropped." },
          "404": json("There is no such shape.", schema("Message")),
          "405": json("Not allowed on this service.", schema("Message")),
          ...failures
        }
      }
    },
    "/v1/health": {
      get: {
        operationId: "health",
        summary: "State of this instance",
        parameters: [
          {
            name: "verbose",
            in: "query",
            required: false,
            description:
              "Also the release, what an upgrade or a rollback has to know of storage, whether changes come from the database, and how the bucket stands.",
            schema: { type: "string" }
          }
        ],
        responses: Object.fromEntries(
          [
            ["200", "Active."],
            ["202", "Serves what exists; not active (yet)."],
            ["503", "Shutting down."]
          ].map(([status, description]) => [
            status,
            json(description ?? "", { type: "object", properties: { status: { type: "string" } } })
          ])
        )
      }
    },
    "/v1/openapi.json": {
      get: {
        operationId: "openapi",
        summary: "This document",
        responses: { "200": json("An OpenAPI document.", { type: "object" }) }
      }
    }
  },
  components: { schemas, headers }
})

let made: string | undefined

/** The description of the API as JSON text, from the same table that parses requests. */
export const openApiDocument = (): string => (made ??= JSON.stringify(build()))
