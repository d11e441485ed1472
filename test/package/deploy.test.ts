import { existsSync } from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { describeImage, readDockerfile } from "../../scripts/deploy/Dockerfile.ts"
import { checkExamples } from "../../scripts/deploy/examples.ts"
import { root } from "./consumer.ts"

const image = describeImage(readDockerfile(path.join(root, "Dockerfile")))

it("the image runs what is built, without a shell", () => {
  for (const [program, script = ""] of [image.entrypoint, image.healthcheck]) {
    assert.strictEqual(program, "node")
    assert.match(script, /^dist\/\w+\.js$/)
    const source = script.replace(/^dist/, "src").replace(/js$/, "ts")
    assert.isTrue(existsSync(path.join(root, source)), source)
  }
})

it("the deployment examples are valid configurations and fit the image", () => {
  assert.deepStrictEqual(checkExamples(image), [])
})
