import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as fc from "fast-check"
import { randomBytes } from "node:crypto"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { vi } from "vitest"
import { piecesOf } from "../../testing/readers/Pieces.ts"
import { type Limits, standardLimits } from "../../src/config/Limits.ts"
import { type AnswerSpool, AnswerSpools } from "../../src/registry/subset/AnswerSpools.ts"

const MB = 1024 * 1024

const spoolsWith = (limits: Partial<Limits> = {}, directories: ReadonlyArray<string> = [tmpdir()]) =>
  new AnswerSpools({ ...standardLimits, ...limits }, directories)

const readAll = (spool: AnswerSpool, bufferBytes = 100_000) =>
  Effect.tryPromise(async () => {
    return Buffer.concat(await piecesOf(spool.pieces(Buffer.alloc(bufferBytes))))
  })

const fill = Effect.fnUntraced(function* (spools: AnswerSpools, bytes: number) {
  const spool = yield* spools.open
  for (let at = 0; at < bytes; at += MB) yield* spool.write(Buffer.alloc(Math.min(MB, bytes - at), 65))
  spool.end()
  return spool
})

const refused = (spools: AnswerSpools, bytes: number) => Effect.flip(Effect.scoped(fill(spools, bytes)))

const openFiles = () => readdirSync("/proc/self/fd").length

describe("answers that wait for their clients", () => {
  it.live("are read as they were written, and nothing is left of them", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 600_000 }), { maxLength: 12 }),
          fc.integer({ min: 1000, max: 300_000 }),
          async (sizes, bufferBytes) => {
            const spools = spoolsWith()
            const written = sizes.map((size) => randomBytes(size))
            const read = Effect.gen(function* () {
              const spool = yield* spools.open
              const writer = Buffer.alloc(600_000)
              for (const piece of written) {
                piece.copy(writer) // as the reader of rows does: its memory is used again
                yield* spool.write(writer.subarray(0, piece.length))
              }
              spool.end()
              assert.isAtMost(spools.held().memoryBytes, MB)
              assert.strictEqual(spools.held().bytes, spool.byteLength)
              return yield* readAll(spool, bufferBytes)
            })
            const all = await Effect.runPromise(Effect.scoped(read))
            assert.isTrue(all.equals(Buffer.concat(written)))
            assert.deepStrictEqual(spools.held(), { bytes: 0, memoryBytes: 0 })
          }
        ),
        { numRuns: 60 }
      )
    )
  )

  it.live("have no name on the disk, and no open file afterwards", () =>
    Effect.gen(function* () {
      const before = openFiles()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* fill(spoolsWith(), 5 * MB)
          assert.isEmpty(readdirSync(tmpdir()).filter((name) => name.startsWith(`baton-${process.pid}-`)))
          assert.isAbove(openFiles(), before)
        })
      )
      assert.isAtMost(openFiles(), before)
    })
  )

  it.live("go to the next directory when one takes no files, and are refused when none does", () =>
    Effect.scoped(
      Effect.gen(function* () {
        yield* fill(spoolsWith({}, ["/nowhere", tmpdir()]), 3 * MB)
        const spools = spoolsWith({}, ["/nowhere"])
        const error = yield* refused(spools, 3 * MB)
        assert.strictEqual(error._tag, "NoRoomForAnswer")
        assert.notInclude(error.message, "/nowhere")
        assert.match(error._tag === "NoRoomForAnswer" ? (error.report ?? "") : "", /ENOENT.*TMPDIR/)
        yield* fill(spools, MB / 2)
      })
    )
  )

  it.live("share the memory that there is: the rest is in files", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const spools = spoolsWith()
        for (let i = 0; i < 100; i++) yield* fill(spools, MB)
        assert.strictEqual(spools.held().memoryBytes, 64 * MB)
        assert.strictEqual(spools.held().bytes, 100 * MB)
      })
    )
  )

  it.live("are refused above the limits, and give way to new ones once they have been there for long", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const spools = spoolsWith({ subsetBytes: 4 * MB, subsetsHeldBytes: 8 * MB })
        assert.strictEqual((yield* refused(spools, 5 * MB))._tag, "AnswerTooLarge")
        assert.strictEqual(spools.held().bytes, 0)
        const first = yield* fill(spools, 3 * MB)
        const second = yield* fill(spools, 3 * MB)
        assert.strictEqual((yield* refused(spools, 3 * MB))._tag, "NoRoomForAnswer")
        const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 31_000)
        yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
        yield* fill(spools, 3 * MB)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(readAll(first))), "the oldest gave way")
        assert.strictEqual((yield* readAll(second)).length, 3 * MB, "and no more than needed")
      })
    )
  )
})
