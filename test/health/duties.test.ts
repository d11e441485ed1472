import { assert, describe, it } from "vitest"
import { duties } from "../../src/health/Duties.ts"
import type { DutyPolicy } from "../../src/shared/Duty.ts"
import { designPage } from "../../testing/DesignPage.ts"

const table: Readonly<Record<string, DutyPolicy>> = duties

const words = {
  beginAgain: "begins again",
  letGo: "is let go",
  endTurn: "ends the turn",
  endProcess: "ends the process"
} as const

/** What may be let go, or end more than itself, is decided here and nowhere else. */
const others: Readonly<Record<string, DutyPolicy["after"]>> = {
  instance: "endProcess",
  lock: "endTurn",
  stream: "endTurn",
  registry: "endTurn",
  lookAhead: "letGo",
  fence: "endTurn",
  moves: "endTurn"
}

describe("the table of duties", () => {
  it("has every duty begin again but for those that others do, or that nothing goes on without", () => {
    for (const [name, { after }] of Object.entries(table))
      assert.strictEqual(after, others[name] ?? "beginAgain", name)
  })

  it("is in the description of the design", () => {
    const design = designPage()
    for (const { after, meanwhile, what } of Object.values(table))
      assert.include(design, `| ${what} | ${words[after]} | ${meanwhile} |\n`)
  })
})
