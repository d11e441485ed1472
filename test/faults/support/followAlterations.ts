import pg from "pg"
import type { Random } from "../../../testing/Random.ts"
import { connectForText, selectText } from "../../../testing/postgres/RowText.ts"
import { type SyncedShape, syncShape } from "../../../testing/readers/Client.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { differenceOfRows } from "../../../testing/postgres/Rows.ts"
import { type AlteredState, AlteredTables, type Followed, stateSql } from "./alterations.ts"

export interface AlterationsReport {
  readonly steps: number
  readonly comparisons: number
  readonly refetches: number
  /** From the end of the last statement to the moment at which every client has the rows. */
  readonly slowestMillis: number
  /** What was not as it should be; empty when all is well. */
  readonly problems: ReadonlyArray<string>
}

interface Client {
  readonly url: string
  readonly followed: Followed
  /** Undefined while what it follows cannot be had: it was refused for good, as it should be. */
  synced: SyncedShape | undefined
  refetches: number
  /** What it was told when it was refused last. */
  refusedWith: string
}

/** As long as a client may show something else than there is. */
const deadlineMillis = 5000
/** One for each step, and as many as it takes when a step has several statements that are noticed one by one. */
const refetchesPerStep = 4

/**
 * Alters tables at random while official clients follow them, and compares, now and then, what they show with what Postgres
 * selects. A client that is refused for good begins anew when there is something to follow again, as an application would.
 */
export const followAlterations = async (options: {
  readonly databaseUrl: string
  /** Each is asked by clients of its own. The first one can make shapes. */
  readonly serviceUrls: ReadonlyArray<string>
  readonly random: Random
  readonly steps: number
  /** Happens after each, before anybody is compared. */
  readonly afterStep?: () => Promise<void>
}): Promise<AlterationsReport> => {
  const { afterStep, databaseUrl, random, serviceUrls, steps } = options
  const tables = new AlteredTables(random)
  const session = await connectForText(databaseUrl)
  const history: Array<string> = []
  const problems: Array<string> = []
  const clients: Array<Client> = serviceUrls.flatMap((url) =>
    tables.followed.map((followed) => ({
      url,
      followed,
      synced: undefined,
      refusedWith: "nothing",
      refetches: 0
    }))
  )
  let comparisons = 0
  let slowestMillis = 0
  let refetches = 0

  /** What Postgres refuses is not done, nor is what comes after it: a value that the other type does not read, say. */
  const run = async (statements: ReadonlyArray<string>) => {
    for (const sql of statements) {
      history.push(`${sql};`)
      try {
        await session.query(sql)
      } catch (error) {
        history.push(`-- refused: ${error instanceof Error ? error.message : String(error)}`)
        await session.query("ROLLBACK")
        return
      }
    }
  }

  /** Undefined when Postgres cannot select it. */
  const select = async (sql: string) => {
    try {
      return await selectText(session, sql)
    } catch (error) {
      if (error instanceof pg.DatabaseError) return undefined
      throw error
    }
  }

  const settle = (client: Client) => {
    const { synced } = client
    if (synced === undefined) return
    for (const error of synced.errors)
      if (!isRefusal(error)) problems.push(`${JSON.stringify(client.followed.params)}: ${String(error)}`)
    if (synced.errors.length === 0) return
    client.refusedWith = synced.errors.map(String).join("; ")
    client.refetches += synced.refetches()
    synced.stop()
    client.synced = undefined
  }

  const compare = async (since: number, stepsSince: number) => {
    for (const client of clients) {
      const name = `${client.url}: ${JSON.stringify(client.followed.params)}`
      const before = client.refetches + (client.synced?.refetches() ?? 0)
      const check = async () => {
        const expected = await select(client.followed.sql)
        settle(client)
        if (expected === undefined) return true
        client.synced ??= syncShape({
          url: client.url,
          params: { ...client.followed.params }
        })
        const difference = differenceOfRows(expected, client.synced.rows(), { collapse: true })
        if (difference !== undefined)
          throw new Error(`${difference}\nlast refused with ${client.refusedWith}`)
        return true
      }
      await eventually(name, check, deadlineMillis).catch((error: unknown) => {
        problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      })
      settle(client)
      const now = client.refetches + (client.synced?.refetches() ?? 0)
      refetches += now - before
      if (now - before > refetchesPerStep * (stepsSince + 1))
        problems.push(`${name}: ${now - before} must-refetch after ${stepsSince} steps`)
      comparisons++
    }
    slowestMillis = Math.max(slowestMillis, performance.now() - since)
  }

  let done = 0
  const warn = console.warn
  console.warn = (...said: ReadonlyArray<unknown>) => {
    if (/fast retry loop/.test(String(said[0]))) problems.push(String(said[0]))
  }
  try {
    await session.query(tables.setUp)
    await compare(performance.now(), 0)
    let stepsSince = 0
    while (done < steps && problems.length === 0) {
      const { rows } = await session.query<{ readonly state: string }>(stateSql)
      tables.resync(JSON.parse(rows[0]?.state ?? "") as AlteredState)
      const step = tables.step()
      history.push(`-- ${step.what}`)
      await run(step.statements)
      await afterStep?.()
      done++
      stepsSince++
      if (done < steps && random.chance(0.4)) continue
      await compare(performance.now(), stepsSince)
      stepsSince = 0
    }
  } finally {
    console.warn = warn
    for (const { synced } of clients) synced?.stop()
    await session.end()
  }
  const told = problems.map((problem) => `${problem}\nafter\n${history.slice(-40).join("\n")}`)
  return { steps: done, comparisons, refetches, slowestMillis: Math.round(slowestMillis), problems: told }
}

const isRefusal = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "status" in error && error.status === 400
