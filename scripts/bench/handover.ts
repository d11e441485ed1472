import { Beats, beatShape, laneOf, lanes } from "./support/Beats.ts"
import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { eventually, nowMillis, sleep } from "./support/Clock.ts"
import { Follower } from "./support/Followers.ts"
import { HttpConnection } from "./support/HttpConnection.ts"
import { createItems } from "./support/Items.ts"
import { lockTransfer } from "./support/LockFloor.ts"
import type { Service } from "./support/ServiceProcess.ts"
import { beginning, shapePath } from "./support/ShapeReader.ts"
import { createShapes, tenantShape, whereShape } from "./support/ShapeSets.ts"
import { openStage, type Stage } from "./support/Stage.ts"
import { median, percentile } from "./support/Statistics.ts"

/** Shapes that clients follow; the others of a larger number stand beside them. */
const followed = 20
const allSizes = [20, 2000, 10_000]
/** The last one: every client has a request parked, and nobody writes. */
const ways = ["SIGTERM", "SIGKILL", "SIGTERM in silence"] as const
type Way = (typeof ways)[number]
const signalOf = (way: Way) => (way === "SIGKILL" ? "SIGKILL" : "SIGTERM")

/** How long clients follow in peace before the signal, and afterwards. */
const calmMillis = 2000
const afterMillis = 2500

/** Everything measured at one handover. */
interface Handover {
  readonly activeMillis: number
  readonly firstShapeMillis: number
  readonly oldSilenceMillis: number
  readonly newSilenceMillis: number
  readonly usualSilenceMillis: number
  readonly slowestChangeMillis: number
  readonly lagMillis: number
  readonly activeLagMillis: number
  readonly waitingMillis: number
  readonly missed: number
  readonly twice: number
  readonly refetches: number
  readonly refused: number
  readonly cut: number
}

const lagOf = (followers: ReadonlyArray<Follower>, beats: Beats, from: number, until: number): number =>
  median(
    followers.flatMap(({ told }) =>
      told
        .filter(({ atMillis }) => atMillis >= from && atMillis < until)
        .map(({ id, atMillis }) => atMillis - (beats.committedAt[id] ?? 0))
    )
  )

/** From the signal to the reply of a shape that nobody has asked for before, at the instance that takes over. */
const firstNewShape = async (port: number, began: number, number: number): Promise<number> => {
  for (;;) {
    const connection = await HttpConnection.open(port)
    const reply = await connection.request(shapePath(whereShape(`tenant = 0 AND id > ${-number}`), beginning))
    connection.close()
    if (reply.status === 200) return reply.endAt - began
    await sleep(5)
  }
}

/** What followers were told, compared with what was committed after `since`, when all of them followed. */
const account = (
  followers: ReadonlyArray<readonly [follower: Follower, lane: number]>,
  since: number,
  last: number
) => {
  let missed = 0
  let twice = 0
  for (const [{ told }, lane] of followers) {
    const seen = new Set<number>()
    for (const { id } of told) {
      if (seen.has(id)) twice++
      seen.add(id)
    }
    for (let id = since + 1; id <= last; id++) if (id % lanes === lane && !seen.has(id)) missed++
  }
  return { missed, twice }
}

let newShapes = 1

const shapeOf = (follower: number): number => follower % followed

/** `old` is active; starts its successor, signals, and gives what happened. The successor is active at the end. */
const handOver = async (
  stage: Stage,
  old: Service,
  beats: Beats,
  way: Way,
  clients: number,
  environment: Readonly<Record<string, string>>
): Promise<{ readonly handover: Handover; readonly successor: Service }> => {
  if (way === "SIGTERM in silence") await beats.stop()
  const successor = await stage.start({ until: "waiting", environment })
  const followers = Array.from(
    { length: clients },
    (_, i) =>
      new Follower(
        i % 2 === 0 ? [old.port, successor.port] : [successor.port, old.port],
        beatShape(shapeOf(i))
      )
  )
  for (const follower of followers) await follower.start()
  // One more may be committed already, and its answer on the way: a follower that began at the end need not be told of it.
  const since = beats.last + 1
  const began = nowMillis()
  await sleep(calmMillis)
  const signalled = nowMillis()
  const usualSilenceMillis = Math.max(...followers.map((f) => f.longestSilence(began + 500, signalled)))
  const active = successor.awaitHealth("active")
  const firstShape = firstNewShape(successor.port, signalled, newShapes++)
  old.signal(signalOf(way))
  const activeMillis = (await active) - signalled
  const firstShapeMillis = await firstShape
  await sleep(afterMillis)
  await beats.stop()
  const { last } = beats
  const laned = followers.map((follower, i) => [follower, laneOf(shapeOf(i))] as const)
  await eventually("all clients to have been told of everything", 20_000, 50, () =>
    account(laned, since, last).missed === 0 ? true : undefined
  ).catch(() => undefined) // then the figures say so
  const until = signalled + afterMillis
  const olds = followers.filter((_, i) => i % 2 === 0)
  const news = followers.filter((_, i) => i % 2 === 1)
  const silence = (some: ReadonlyArray<Follower>) =>
    Math.max(...some.map((follower) => follower.longestSilence(signalled, until - 500)))
  const slowest = Math.max(
    ...followers.flatMap(({ told }) =>
      told
        .filter(({ atMillis }) => atMillis >= signalled)
        .map(({ id, atMillis }) => atMillis - (beats.committedAt[id] ?? atMillis))
    )
  )
  const total = (pick: (follower: Follower) => number) => followers.reduce((sum, f) => sum + pick(f), 0)
  const handover: Handover = {
    activeMillis,
    firstShapeMillis,
    oldSilenceMillis: silence(olds),
    newSilenceMillis: silence(news),
    usualSilenceMillis,
    slowestChangeMillis: slowest,
    lagMillis: lagOf(news, beats, began + 500, signalled),
    activeLagMillis: lagOf(olds, beats, began + 500, signalled),
    waitingMillis: successor.startMillis,
    ...account(laned, since, last),
    refetches: total(({ trouble }) => trouble.refetches),
    refused: total(({ trouble }) => trouble.refused),
    cut: total(({ trouble }) => trouble.cut)
  }
  for (const follower of followers) await follower.stop()
  if (signalOf(way) === "SIGTERM") await old.stop()
  else await old.kill()
  if (way !== "SIGTERM in silence") beats.start()
  return { handover, successor }
}

interface Measured {
  readonly size: number
  readonly way: Way
  readonly handovers: ReadonlyArray<Handover>
  readonly floor: ReadonlyArray<number>
}

const figuresOf = ({ size, way, handovers, floor }: Measured): ReadonlyArray<Figure> => {
  const name = `${size.toLocaleString("en")} shapes, ${way}`
  const figure = (what: string, unit: string, pick: (handover: Handover) => number): Figure => ({
    what: `${name}: ${what}`,
    unit,
    runs: handovers.map(pick)
  })
  const common = [
    {
      ...figure("signal to active", "ms", (h) => h.activeMillis),
      floor: { is: "lock from one bare walsender to another", runs: floor },
      compare: "difference" as const,
      ...(way !== "SIGKILL" ? { aim: size > 2000 ? "100 ms" : "50 ms" } : {})
    },
    figure("signal to the first new shape", "ms", (h) => h.firstShapeMillis),
    figure("clients that fetched again", "", (h) => h.refetches),
    figure("requests refused", "", (h) => h.refused),
    figure("connections cut", "", (h) => h.cut)
  ]
  if (way === "SIGTERM in silence") return common
  return [
    ...common,
    { ...figure("longest silence, clients of the old one", "ms", (h) => h.oldSilenceMillis), aim: "200 ms" },
    { ...figure("longest silence, clients of the new one", "ms", (h) => h.newSilenceMillis), aim: "200 ms" },
    figure("longest silence before the signal", "ms", (h) => h.usualSilenceMillis),
    figure("slowest change from its commit", "ms", (h) => h.slowestChangeMillis),
    { ...figure("change at the waiting one, from its commit", "ms", (h) => h.lagMillis), aim: "100 ms" },
    figure("change at the active one, from its commit", "ms", (h) => h.activeLagMillis),
    figure("start to waiting", "ms", (h) => h.waitingMillis),
    figure("changes missed", "", (h) => h.missed),
    figure("changes told twice", "", (h) => h.twice)
  ]
}

export const benchmark: Benchmark = {
  name: "handover",
  summary: "an instance is stopped or killed under load, and the one that waits takes over",
  /** `--shapes 0`: each of 20, 2,000 and 10,000. */
  options: { shapes: 0, handovers: 5, clients: 66, rate: 100 },
  short: { shapes: 20, handovers: 1, clients: 66, rate: 100 },
  run: async (options, say) => {
    const wanted = option(options, "shapes")
    const clients = option(options, "clients")
    const rate = option(options, "rate")
    const handovers = option(options, "handovers")
    const environment = { BATON_SHUTDOWN_GRACE: "1s", ...traced }
    const measured: Array<Measured> = []
    const descriptions = new Set<string>()
    for (const size of wanted === 0 ? allSizes : [wanted]) {
      const stage = await openStage()
      descriptions.add(stage.database.description)
      await createItems(stage.database)
      const tenants = Math.max(0, size - followed)
      const beats = await Beats.create(stage.database, tenants, rate)
      let active = await stage.start({ environment })
      await createShapes(active.port, beatShape, 0, followed)
      await createShapes(active.port, (i) => tenantShape(i), 0, tenants)
      say(`${size} shapes are there`)
      beats.start()
      for (const way of ways) {
        const floor = await lockTransfer(stage.database, way === "SIGKILL" ? "kill" : "release", 15)
        const found: Array<Handover> = []
        for (let i = 0; i < handovers; i++) {
          const { handover, successor } = await handOver(stage, active, beats, way, clients, environment)
          active = successor
          found.push(handover)
          const { activeMillis, oldSilenceMillis, newSilenceMillis, missed, twice } = handover
          say(
            `${size} shapes, ${way}: active after ${activeMillis.toFixed(0)} ms, silence ${oldSilenceMillis.toFixed(0)} and ` +
              `${newSilenceMillis.toFixed(0)} ms, ${missed} missed, ${twice} twice, ${JSON.stringify(handover)}`
          )
        }
        measured.push({ size, way, handovers: found, floor })
        say(`floor, ${way}: p50 ${median(floor).toFixed(1)} ms, p95 ${percentile(floor, 0.95).toFixed(1)} ms`)
      }
      await beats.stop()
      await active.stop()
      await stage.database.stop()
    }
    return {
      figures: measured.flatMap(figuresOf),
      checked:
        "what every client was told, row by row, against what was committed: see the last lines of each",
      environment: [
        ...descriptions,
        `${clients} clients on both instances, ${rate} transactions/s; a client comes back 5 ms after its connection was cut`
      ]
    }
  }
}

/** For looking into one handover: what the services say about their steps. */
const traced: Readonly<Record<string, string>> =
  process.env["BENCH_HANDOVER_LOG"] === undefined ? {} : { ELECTRIC_LOG_LEVEL: "debug" }
