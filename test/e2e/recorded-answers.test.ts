import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { nextCursor } from "../../src/http/reply/Cursor.ts"
import { patient } from "../../testing/Load.ts"
import {
  type Answer,
  ask,
  recordedReleases,
  startAlone,
  type Unpacked,
  unpackRecording
} from "../../testing/releases/Recording.ts"
import { treeDigest } from "../../testing/services/TreeDigest.ts"

/** Who is there may be told; all else stays as it is. */
const contentOf = (directory: string) => treeDigest(directory).filter((line) => !line.includes("/instances/"))

/** What stands in the journal alone; and what has been moved to files, with a transaction that was cut off behind it. */
const asked = ["journal", "cut"]
const atOnce = 8

describe.each(recordedReleases)("what release %s has answered", (version) => {
  let unpacked: Unpacked
  beforeAll(async () => {
    unpacked = await unpackRecording(version)
  })
  afterAll(() => unpacked[Symbol.dispose]())

  it(
    "is answered with the same handles, offsets, bytes and tags from its storage, which stays as it is",
    { timeout: patient(60_000) },
    async () => {
      const { recording, storageOf } = unpacked
      for (const stage of recording.stages.filter(({ name }) => asked.includes(name))) {
        const directory = storageOf(stage)
        const before = contentOf(directory)
        await using service = await startAlone(directory, recording)
        let validated = 0
        const compare = async (recorded: Answer, i: number) => {
          const { answer, etag } = await ask(service.url, recorded.query)
          assert.deepStrictEqual(answer, recorded, `${stage.name}, ${recorded.query}`)
          // What a cache has kept is still good.
          if (i % 8 !== 0 || etag === null || answer.headers["etag"] !== etag) return
          const again = await ask(service.url, recorded.query, { "if-none-match": etag })
          assert.strictEqual(again.answer.status, 304, recorded.query)
          validated++
        }
        for (let i = 0; i < stage.answers.length; i += atOnce)
          await Promise.all(stage.answers.slice(i, i + atOnce).map((recorded, k) => compare(recorded, i + k)))
        assert.isAbove(validated, 10)
        assert.deepStrictEqual(contentOf(directory), before)
      }
    }
  )

  it("has the cursors that its live requests got", () => {
    const { env, stages } = unpacked.recording
    const seconds = Number(env["ELECTRIC_LONG_POLL_TIMEOUT"]) / 1000
    const cursors = stages.flatMap((stage) => stage.cursors)
    assert.isNotEmpty(cursors)
    for (const { atMillis, cursor } of cursors)
      assert.strictEqual(String(nextCursor(atMillis, seconds, undefined, 0)), cursor)
  })
})
