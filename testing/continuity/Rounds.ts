import { eventually } from "../Eventually.ts"
import type { Random } from "../Random.ts"
import { type ContinuityEvent, continuityEvents } from "./Events.ts"
import { compareReaders, startReaders } from "./Readers.ts"
import { databaseName, makeWorld } from "./World.ts"
import { verifyShapes } from "../services/VerifyShapes.ts"
import { ContinuityWriter, continuityTables } from "./Writer.ts"

/** Status of `baton verify`. */
const notCompared = 2

export interface ContinuityOptions {
  /** One after the other; all readers are compared with the database after each. */
  readonly events: ReadonlyArray<ContinuityEvent>
  readonly random: Random
  readonly say: (text: string) => void
  /** No round begins after so long. Default: no limit. */
  readonly limitMillis?: number
  /** The same when it is aborted. */
  readonly stop?: AbortSignal
  /** Of all instances, over what they have anyway. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface ContinuityReport {
  readonly rounds: number
  readonly transactions: number
  readonly comparisons: number
  readonly problems: ReadonlyArray<string>
}

/**
 * Events that lose the position in the stream, among others, while somebody writes: after each, every reader holds exactly the
 * rows that Postgres selects, under the handle that it began with. Ends with the first problem.
 */
export const continuityRounds = async (options: ContinuityOptions): Promise<ContinuityReport> => {
  const { events, limitMillis = Number.POSITIVE_INFINITY, random, say, settings, stop } = options
  const world = await makeWorld(continuityTables, settings)
  const writer = new ContinuityWriter(() => world.cluster.url(databaseName), random.fork())
  const readers = startReaders(world)
  const problems: Array<string> = []
  const began = performance.now()
  let rounds = 0
  let comparisons = 0
  const compare = async () => {
    await writer.pause()
    problems.push(...(await compareReaders(world, readers)))
    // A session that ends meanwhile, because a look has found something, ends the comparison, too.
    const compared = await eventually(
      "a comparison of all shapes",
      async () => {
        const active = await world.instances.active(60_000)
        const verified = await verifyShapes(`http://127.0.0.1:${active.port}`)
        if (verified.status === notCompared) throw new Error(verified.text)
        return verified
      },
      30_000
    )
    if (compared.status !== 0) problems.push(`baton verify has found: ${compared.text}`)
    comparisons += readers.length
    writer.resume()
  }
  try {
    await writer.more(5)
    await compare()
    for (const event of events) {
      if (problems.length > 0 || stop?.aborted === true || performance.now() - began > limitMillis) break
      await writer.more(random.int(0, 20))
      const since = performance.now()
      await continuityEvents[event]({ world, writer, random })
      await writer.more(random.int(0, 20))
      await compare()
      rounds++
      say(
        `${rounds}. ${event}: ${Math.round(performance.now() - since)} ms, ${writer.committed} transactions`
      )
      for (const problem of problems) say(`  ${problem}`)
    }
  } catch (error) {
    problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    if (problems.length > 0) say(world.instances.logs().slice(-30_000))
    for (const reader of readers) await reader.close()
    await writer.close()
    await world.close()
  }
  return { rounds, transactions: writer.committed, comparisons, problems }
}
