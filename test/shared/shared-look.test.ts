import { assert, describe, it } from "vitest"
import { SharedLook } from "../../src/shared/SharedLook.ts"

/** A look whose answers the test gives, one by one. */
const answered = () => {
  const pending: Array<{
    readonly resolve: (value: boolean) => void
    readonly reject: (error: Error) => void
  }> = []
  const look = new SharedLook(
    () => new Promise<boolean>((resolve, reject) => pending.push({ resolve, reject }))
  )
  return { look, pending }
}

describe("a look that many share", () => {
  it("never answers with what was seen before the question", async () => {
    const { look, pending } = answered()
    const first = look.ask()
    const second = look.ask()
    const third = look.ask()
    assert.lengthOf(pending, 1)
    pending[0]?.resolve(false)
    assert.isFalse(await first)
    await new Promise((resolve) => setImmediate(resolve))
    // Both came while the first was being answered: they share the next one.
    assert.lengthOf(pending, 2)
    pending[1]?.resolve(true)
    assert.deepStrictEqual(await Promise.all([second, third]), [true, true])
    assert.lengthOf(pending, 2)
  })

  it("goes on after one that has failed, and tells only those who asked for it", async () => {
    const { look, pending } = answered()
    const first = look.ask()
    const second = look.ask()
    pending[0]?.reject(new Error("EIO"))
    assert.strictEqual(await first.catch((error: unknown) => String(error)), "Error: EIO")
    await new Promise((resolve) => setImmediate(resolve))
    pending[1]?.resolve(true)
    assert.isTrue(await second)
    const later = look.ask()
    pending[2]?.resolve(false)
    assert.isFalse(await later)
  })
})
