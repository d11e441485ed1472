import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { otherParameters, shapeParameters } from "../../src/http/request/ShapeParams.ts"
import { subsetParameters } from "../../src/http/request/SubsetParams.ts"
import { FakeStore } from "./support/FakeStore.ts"
import { activate, apiLayer, ask } from "./support/harness.ts"

interface Operation {
  readonly parameters?: ReadonlyArray<{
    readonly name: string
    readonly required: boolean
    readonly schema: Record<string, unknown>
  }>
  readonly responses: Record<string, unknown>
}
interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: Record<string, Record<string, unknown>>
}

const document = Effect.map(ask("/v1/openapi.json"), (received) => {
  assert.strictEqual(received.status, 200)
  assert.strictEqual(received.header("content-type"), "application/json; charset=utf-8")
  return received.json() as Document
})

it.effect("the description of the API walks against the service", () => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    yield* activate
    const { openapi, paths } = yield* document
    assert.match(openapi, /^3\.1\./)
    for (const [path, operations] of Object.entries(paths))
      for (const [method, operation] of Object.entries(operations)) {
        const required = (operation.parameters ?? []).filter((parameter) => parameter.required)
        const values: Record<string, string> = { table: "items", offset: "-1" }
        const query = required.map(({ name }) => `${name}=${values[name]}`).join("&")
        const received = yield* ask(`${path}?${query}`, { method: method.toUpperCase() })
        assert.property(operation.responses, String(received.status), `${method} ${path}`)
        assert.notStrictEqual(received.status, 404, `${method} ${path}`)
      }
  }).pipe(Effect.provide(apiLayer(store)))
})

it.effect(
  "every parameter that the parser reads is described, and every value that is described is accepted",
  () => {
    const store = new FakeStore()
    return Effect.gen(function* () {
      yield* activate
      const { paths } = yield* document
      const parameters = paths["/v1/shape"]?.["get"]?.parameters ?? []
      const { subset: _subset, ...main } = shapeParameters
      assert.deepStrictEqual(
        parameters.map(({ name }) => name),
        [
          ...Object.keys(main),
          ...Object.keys(subsetParameters).map((name) => `subset__${name}`),
          ...Object.keys(otherParameters)
        ]
      )
      for (const { name, schema } of parameters) {
        const examples = [
          ...((schema["enum"] as Array<string>) ?? []),
          ...((schema["type"] === "boolean" && ["true", "false"]) || [])
        ]
        for (const value of examples) {
          const received = yield* ask(`/v1/shape?table=items&offset=-1&${name}=${value}`)
          assert.notInclude(received.text, "is invalid", `${name}=${value}`)
        }
      }
    }).pipe(Effect.provide(apiLayer(store)))
  }
)

it.effect("all references of the description lead somewhere", () => {
  const store = new FakeStore()
  return Effect.gen(function* () {
    const text = (yield* ask("/v1/openapi.json")).text
    const { components } = yield* document
    const references = [...text.matchAll(/"#\/components\/(\w+)\/([\w-]+)"/g)]
    assert.isAbove(references.length, 5)
    for (const [, kind = "", name = ""] of references) assert.property(components[kind], name)
  }).pipe(Effect.provide(apiLayer(store)))
})
