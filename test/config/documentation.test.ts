import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import {
  configurationDocument,
  documentPath,
  limitsDocument,
  limitsPath
} from "../../scripts/config-table.ts"

it("docs/configuration.md says what the parser does (write it anew with `npx node scripts/config-table.ts`)", () => {
  assert.strictEqual(readFileSync(documentPath, "utf8"), configurationDocument())
})

it("docs/limits.md says which limits there are (write it anew with `npx node scripts/config-table.ts`)", () => {
  assert.strictEqual(readFileSync(limitsPath, "utf8"), limitsDocument())
})
