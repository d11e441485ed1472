import { compareOffsets, type LogOffset } from "../../src/shapes/LogOffset.ts"
import type { KeptMessage } from "../../src/storage/compaction/KeyFold.ts"
import { LogFold } from "../../src/storage/compaction/LogFold.ts"
import { withLastMark, withoutLastMark } from "../../src/storage/compaction/RowMessage.ts"
import type { Random } from "../Random.ts"
import { applyStrictly, asText, type Entry, memorySpill, randomHistory, type Rows } from "./Histories.ts"

const pause = () => Promise.resolve()

const all = async <A>(batches: AsyncIterable<ReadonlyArray<A>>): Promise<ReadonlyArray<A>> => {
  const found: Array<A> = []
  for await (const batch of batches) found.push(...batch)
  return found
}

const foldOf = (random: Random): LogFold =>
  new LogFold({
    spill: memorySpill(),
    budget: random.int(0, 1) === 0 ? 1e9 : random.int(100, 3000),
    lists: random.int(1, 4),
    pause,
    charactersPerPause: random.pick([1, 1000])
  })

const folded = async (random: Random, texts: Iterable<string>): Promise<ReadonlyArray<KeptMessage>> => {
  const fold = foldOf(random)
  await fold.add([...texts])
  return all(fold.messages())
}

const held = async (random: Random, texts: Iterable<string>): Promise<ReadonlyArray<string>> => {
  const fold = foldOf(random)
  await fold.add([...texts])
  return [...(await all(fold.held())), ...fold.others]
}

const apply = (rows: Rows, texts: Iterable<string>): Rows => {
  const after = new Map(rows)
  for (const text of texts) {
    const wrong = applyStrictly(after, text)
    if (wrong !== undefined) throw new Error(wrong)
  }
  return after
}

const offsetOf = ({ op, tx }: Entry) => ({ tx, op })

/**
 * One random history: it is folded at random places, again and again, and rows are made of it; a reader at each offset that there
 * ever was must end with what a plain fold gives, and be told nothing that does not fit. Throws what is wrong.
 */
export const checkRandomFold = async (random: Random, most: number): Promise<void> => {
  const { entries, firstRows } = randomHistory(random, random.int(1, most))
  const states: Array<Rows> = [apply(new Map(), firstRows)]
  for (const { text } of entries) states.push(apply(states.at(-1) ?? new Map(), [text]))
  // Each time a part that has been folded, and more of what comes behind it.
  let log: Array<KeptMessage> = entries.map((entry) => ({ at: offsetOf(entry), text: entry.text }))
  let last = 0
  for (let round = random.int(1, 4); round > 0; round--) {
    last = random.int(last, entries.length - 1)
    const end = entries[last]
    if (end === undefined) return
    const isBefore = (at: LogOffset) => compareOffsets(at, offsetOf(end)) <= 0
    const after = log.filter(({ at }) => !isBefore(at))
    const kept = await folded(
      random,
      log.filter(({ at }) => isBefore(at)).map(({ text }) => text)
    )
    const once = await folded(
      random,
      entries.slice(0, last + 1).map(({ text }) => text)
    )
    if (asPlain(kept) !== asPlain(once)) throw new Error("a fold of what was folded gives something else")
    log = [
      ...kept.map((message, i) =>
        kept[i + 1]?.at.tx === message.at.tx ? message : { at: message.at, text: withLastMark(message.text) }
      ),
      ...after
    ]
  }
  const expected = asText(states.at(-1) ?? new Map())
  for (let x = 0; x <= entries.length; x++) {
    const entry = entries[x - 1]
    const behind = entry === undefined ? log : log.filter(({ at }) => compareOffsets(at, offsetOf(entry)) > 0)
    if (
      asText(
        apply(
          states[x] ?? new Map(),
          behind.map(({ text }) => text)
        )
      ) !== expected
    )
      throw new Error(`a reader behind ${entry?.text ?? "the first rows"} ends with other rows`)
  }
  checkOrder(log)
  await checkRows(random, firstRows, log, states, entries)
}

const asPlain = (kept: ReadonlyArray<KeptMessage>): string =>
  kept.map(({ text }) => JSON.stringify(sorted(JSON.parse(withoutLastMark(text))))).join()

/** With the names of objects in one order. */
const sorted = (value: unknown): unknown =>
  value === null || typeof value !== "object" || Array.isArray(value)
    ? value
    : Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, inner]) => [name, sorted(inner)])

const checkOrder = (log: ReadonlyArray<KeptMessage>): void => {
  log.forEach(({ at, text }, i) => {
    const before = log[i - 1]
    if (before !== undefined && compareOffsets(before.at, at) >= 0) throw new Error("offsets do not rise")
    if (!text.includes(`"lsn":"${at.tx}"`)) throw new Error(`no offset in ${text}`)
  })
}

/** Rows made at some place, and again at a later one, from what a newcomer gets. */
const checkRows = async (
  random: Random,
  firstRows: ReadonlyArray<string>,
  log: ReadonlyArray<KeptMessage>,
  states: ReadonlyArray<Rows>,
  entries: ReadonlyArray<Entry>
): Promise<void> => {
  const at = random.int(0, log.length)
  const texts = (from: number, to: number) => log.slice(from, to).map(({ text }) => text)
  const base = await held(random, [...firstRows, ...texts(0, at)])
  const later = random.int(at, log.length)
  const again = await held(random, [...base, ...texts(at, later)])
  if (again.at(-1) !== firstRows.at(-1)) throw new Error("rows do not end as first rows do")
  const newcomer = apply(apply(new Map(), again), texts(later, log.length))
  if (asText(newcomer) !== asText(states[entries.length] ?? new Map()))
    throw new Error("a newcomer ends with other rows")
}
