import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const document = readFileSync(path.join(root, "docs/protocol.md"), "utf8")
const start = document.indexOf("## Row by row")
const end = document.indexOf("\n## ", start + 1)
const section = document.slice(start, end < 0 ? undefined : end)

const rows = section
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| rule") && !line.startsWith("| ---"))
  .map((line) => line.split(" | ").map((cell) => cell.replaceAll(/^\| | \|$/g, "").trim()))

/** `folder/file: title`; titles may have semicolons themselves. */
const testsIn = (cell: string): ReadonlyArray<readonly [file: string, title: string]> =>
  cell.split(/; (?=[a-z0-9]+\/[\w-]+: )/).map((named) => {
    const colon = named.indexOf(": ")
    return [named.slice(0, colon), named.slice(colon + 2)] as const
  })

describe("docs/protocol.md, row by row", () => {
  it("says for each rule of the protocol whether it is kept, and how it is tested", () => {
    assert.isAbove(rows.length, 100)
    for (const row of rows) {
      assert.strictEqual(row.length, 3, row.join(" | "))
      assert.match(row[1] ?? "", /^(same|better|other|refused)\b/, row[0])
    }
  })

  it("names tests that there are", () => {
    const missing: Array<string> = []
    for (const [rule = "", , cell = ""] of rows)
      for (const [file, title] of testsIn(cell)) {
        const source = path.join(root, "test", `${file}.test.ts`)
        // Titles that are put together in a loop are named without what is filled in.
        const text = existsSync(source) ? readFileSync(source, "utf8") : ""
        const isThere =
          ['"', "`", "'"].some((quote) => text.includes(quote + title)) || text.includes(`} ${title}`)
        if (!isThere) missing.push(`${rule}: ${file}: ${title}`)
      }
    assert.deepStrictEqual(missing, [])
  })
})
