import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { RealDisk } from "../../src/storage/disk/RealDisk.ts"
import { positionAfter } from "../../src/storage/logs/LogFileSearch.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { temporaryDirectory } from "./support.ts"

interface Entry {
  readonly tx: bigint
  readonly op: number
  readonly text: string
}

const below = (random: Random, n: number): number => random.int(0, n - 1)

const nasty = [`}},{"key":"`, `"lsn":"9","op_position":9}}`, `\\`, `"`, `}`, "ä€🎈", "\n", `,"last":true}}`]

const textOf = (random: Random, length: number): string => {
  let text = ""
  while (text.length < length) text += nasty[below(random, nasty.length)] ?? ""
  return text
}

/** A message as it stands in a log file: headers last, and the offset in them. */
const entryOf = (random: Random, tx: bigint, op: number): Entry => {
  const long = below(random, 40) === 0 ? 60_000 : below(random, 8) === 0 ? 3000 : 40
  const key = JSON.stringify(textOf(random, below(random, 20)))
  const value = JSON.stringify({
    lsn: textOf(random, 10),
    op_position: "3",
    text: textOf(random, below(random, long))
  })
  const old = below(random, 4) === 0 ? `,"old_value":{"lsn":null}` : ""
  const change =
    below(random, 6) === 0 ? `,"key_change_to":${JSON.stringify(textOf(random, below(random, 2500)))}` : ""
  const last = below(random, 3) === 0 ? `,"last":true` : ""
  const headers = `{"operation":"update","relation":["public","lsn"],"lsn":"${tx}","txids":[7],"op_position":${op}${change}${last}}`
  return { tx, op, text: `{"key":${key},"value":${value}${old},"headers":${headers}}` }
}

describe("finding an offset in a log file", () => {
  it("gives where the first message after it begins, for every offset", async () => {
    const directory = temporaryDirectory()
    const disk = new RealDisk()
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let round = 0; round < 12; round++) {
      const entries: Array<Entry> = []
      let tx = 1n
      let op = 0
      for (let n = [1, 2, 3, 40, 400][round % 5] ?? 1; n > 0; n--) {
        if (below(random, 2) === 0) {
          tx += BigInt(1 + below(random, 2 ** 31)) ** 2n
          op = below(random, 3)
        } else op += 1 + below(random, 3)
        entries.push(entryOf(random, tx, op))
      }
      const path = join(directory, `l${round}`)
      writeFileSync(path, entries.map(({ text }) => text).join(","))
      const file = await disk.open(path)
      if (file === undefined) throw new Error("not there")
      const { size } = await file.stat()
      const check = async (after: { readonly tx: bigint; readonly op: number }) => {
        let expected = 0
        for (const entry of entries) {
          if (entry.tx > after.tx || (entry.tx === after.tx && entry.op > after.op)) break
          expected += Buffer.byteLength(entry.text) + 1
        }
        const found = await positionAfter(file, size, after)
        assert.strictEqual(found, expected, `seed ${seed}, round ${round}, after ${after.tx}_${after.op}`)
      }
      await check({ tx: 0n, op: 0 })
      for (const { op: position, tx: lsn } of entries.slice(0, -1)) {
        if (entries.length > 100 && below(random, 8) > 0) continue
        await check({ tx: lsn, op: position })
        if (below(random, 4) === 0) await check({ tx: lsn, op: position - 1 })
      }
      await file.close()
    }
  })

  it("fails where the file ends too early, or a message says no offset", async () => {
    const directory = temporaryDirectory()
    const path = join(directory, "l0")
    const messages = [`{"key":"a","headers":{}}`, `{"key":"b","headers":{"lsn":"2","op_position":0}}`].join(
      ","
    )
    writeFileSync(path, messages)
    const file = await new RealDisk().open(path)
    if (file === undefined) throw new Error("not there")
    const failure = (end: number) =>
      positionAfter(file, end, { tx: 1n, op: 0 }).then(
        () => "found",
        (error: unknown) => String(error)
      )
    assert.match(await failure(messages.length), /has no offset/)
    assert.match(await failure(messages.length + 10), /ends before/)
    await file.close()
  })
})
