import { assert, describe, it } from "@effect/vitest"
import {
  operationOf,
  routeOf,
  splitTarget,
  type Operation,
  type Route
} from "../../src/http/request/Route.ts"

const paths: ReadonlyArray<readonly [string, Route]> = [
  ["/", "root"],
  ["", "root"],
  ["//", "root"],
  ["/v1/shape", "shape"],
  ["/v1/shape/", "shape"],
  ["/v1//shape", "shape"],
  ["//v1/shape", "shape"],
  ["//v1//shape/", "shape"],
  ["/v1/%73hape", "shape"],
  ["/%761/shape", "shape"],
  ["/v1%2Fshape", "none"],
  ["/v1/%2Fshape", "none"],
  ["/v1/shape%2F", "none"],
  ["/v1/shape%00", "none"],
  ["/V1/shape", "none"],
  ["/v1/Shape", "none"],
  ["/v1/./shape", "none"],
  ["/v1/x/../shape", "none"],
  ["/v1/%ZZshape", "none"],
  ["/v1/%ffshape", "none"],
  ["/v1/shape/extra", "none"],
  ["/v1/shape;a=b", "none"],
  ["/v1", "none"],
  ["/v2/shape", "none"],
  ["/shape", "none"],
  ["v1/shape", "none"],
  ["*", "none"],
  ["/v1/health", "health"],
  ["/v1/health/", "health"],
  ["/v1/openapi.json", "openapi"]
]

describe("routes", () => {
  it.each(paths)("%s means %s", (path, route) => assert.strictEqual(routeOf(path), route))

  const operations: ReadonlyArray<readonly [string, Route, Operation]> = [
    ["GET", "shape", "readShape"],
    ["HEAD", "shape", "readShape"],
    ["POST", "shape", "readShape"],
    ["DELETE", "shape", "deleteShape"],
    ["OPTIONS", "shape", "preflight"],
    ["PUT", "shape", "none"],
    ["PATCH", "shape", "none"],
    ["QUERY", "shape", "none"],
    ["get", "shape", "none"],
    ["GET", "health", "health"],
    ["HEAD", "health", "health"],
    ["POST", "health", "none"],
    ["OPTIONS", "health", "none"],
    ["GET", "root", "root"],
    ["HEAD", "root", "root"],
    ["POST", "root", "none"],
    ["OPTIONS", "root", "none"],
    ["GET", "openapi", "openapi"],
    ["DELETE", "openapi", "none"],
    ["GET", "none", "none"]
  ]
  it.each(operations)("%s on %s is %s", (method, route, operation) =>
    assert.strictEqual(operationOf(route, method), operation)
  )

  it("a target is cut at its first question mark, and an absolute one loses scheme and authority", () => {
    assert.deepStrictEqual(splitTarget("/v1/shape?a=b?c"), { path: "/v1/shape", query: "a=b?c" })
    assert.deepStrictEqual(splitTarget("/v1/shape"), { path: "/v1/shape", query: "" })
    assert.deepStrictEqual(splitTarget("http://host:3000/v1/shape?x"), { path: "/v1/shape", query: "x" })
    assert.deepStrictEqual(splitTarget("HTTPS://host?x=/v1/shape"), { path: "", query: "x=/v1/shape" })
  })
})
