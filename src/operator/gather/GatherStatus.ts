import { Effect } from "effect"
import { abilities } from "../../health/HealthState.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { fromDisk } from "../../storage/disk/DiskFault.ts"
import { bytesBehind, journalFiles } from "../../storage/JournalSize.ts"
import { type Presence, readPresences } from "../../storage/levels/Presence.ts"
import type { ProcessReport } from "../../telemetry/ProcessReport.ts"
import { liveReport } from "../../workers/ProcessReporter.ts"
import type { ActiveFault, RecordedFault } from "../../shared/FaultRecord.ts"
import { faultTable } from "../../telemetry/faults/FaultTable.ts"
import { activeReport } from "../reports/FaultsReport.ts"
import { instancesReport, PresenceWatch } from "../reports/InstancesReport.ts"
import { RateMeter, type Totals } from "../reports/Rates.ts"
import { isoTime } from "../reports/ShapeRow.ts"
import type { DatabaseFacts, SlotFacts } from "../reports/PostgresFacts.ts"
import { type ProcessStatus, slotVerdict, type StatusReport } from "../reports/StatusReport.ts"
import type { OperatorServices } from "../Services.ts"
import { askDatabase } from "./AskDatabase.ts"
import { cachedFor } from "./Cached.ts"

/** However many look, the database is asked so often, and the disk. */
const databaseFreshMillis = 2000
const diskFreshMillis = 2000

const sumOf = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

const storagePlace = ({ bucket, storage, storageDir }: OperatorServices["config"]): string => {
  if (storage === "memory") return "memory"
  if (bucket === undefined) return storageDir
  const { place } = bucket
  return place._tag === "S3" ? `s3://${place.bucket}/${place.prefix}` : `file://${place.path}`
}

const orUndefined = <A>(work: () => Promise<A>): Effect.Effect<A | undefined> =>
  Effect.orElseSucceed(fromDisk(work), () => undefined)

/** What was found out for one look. */
interface Gathered {
  readonly own: ReturnType<typeof liveReport>
  readonly reports: ReadonlyArray<ProcessReport>
  /** Undefined: it was not asked, or did not answer. */
  readonly database: DatabaseFacts | undefined
  readonly journal: Effect.Success<ReturnType<typeof filesOf>>[0]
  readonly activeFaults: ReadonlyArray<ActiveFault>
  readonly recentFaults: ReadonlyArray<RecordedFault>
  readonly presences: ReadonlyArray<Presence>
}

const filesOf = ({ paths }: OperatorServices["engine"]) =>
  Effect.all([orUndefined(() => journalFiles(paths)), orUndefined(() => readPresences(paths))], {
    concurrency: "unbounded"
  })

/** What to ask for the status. Nothing is done before somebody does; what many ask for at a time is found out once. */
export const makeStatus = (services: OperatorServices): Effect.Effect<Effect.Effect<StatusReport>> =>
  Effect.gen(function* () {
    const { admin, api, config, engine, faults, health, metrics, timers, workers } = services
    const database = yield* cachedFor(timers, databaseFreshMillis, askDatabase(admin, config.slotName))
    const files = yield* cachedFor(timers, diskFreshMillis, filesOf(engine))
    const meter = new RateMeter()
    const watch = new PresenceWatch()
    return Effect.gen(function* () {
      const asks = abilities[health.current()].asksDatabase
      const [reports, facts, [journal, presences]] = yield* Effect.all(
        [workers.reports, asks ? database : Effect.succeed(undefined), files],
        { concurrency: "unbounded" }
      )
      const own = liveReport("main", api, engine, metrics)
      const gathered: Gathered = {
        own,
        reports,
        database: facts,
        journal,
        presences: watch.living(presences ?? [], timers.nowMillis()),
        activeFaults: yield* faults.active,
        recentFaults: yield* faults.recent
      }
      return statusOf(services, gathered, meter)
    })
  })

const totalsOf = ({ metrics, timers }: OperatorServices, { own, reports }: Gathered): Totals => {
  const { operationsPerTransaction, receiveLagMillis, requests } = metrics
  const ofWorkers = reports.flatMap((report) => report.requests)
  return {
    atMillis: timers.nowMillis(),
    transactions: sumOf(receiveLagMillis.counts),
    changes: operationsPerTransaction.sum,
    receiveLagMillis: receiveLagMillis.sum,
    requests: sumOf([...requests.entries(), ...ofWorkers].map(([, count]) => count)),
    cpuSeconds: own.cpuSeconds + sumOf(reports.map(({ cpuSeconds }) => cpuSeconds))
  }
}

const processesOf = (
  { engine, server }: OperatorServices,
  { journal, own, reports }: Gathered
): readonly [ProcessStatus, ...ReadonlyArray<ProcessStatus>] => {
  const isWriter = engine.writer !== undefined
  const followerLagBytes = isWriter || journal === undefined ? null : bytesBehind(journal, engine.at)
  const others = reports.map(
    ({ eventLoop: _loop, requests: _requests, slowest: _slowest, ...report }): ProcessStatus => ({
      ...report,
      followerLagBytes: report.followerLagBytes ?? null
    })
  )
  return [{ ...own, openRequests: server?.running() ?? 0, followerLagBytes }, ...others]
}

const workOf = (
  { metrics, progress, timers }: OperatorServices,
  { activeFaults, recentFaults, reports }: Gathered
): Pick<StatusReport, "faults" | "lastFaultAt" | "loading" | "progress" | "slowReaders" | "takeovers"> => {
  const { slowReaders, snapshots, takeoverHistory } = metrics
  const now = timers.nowMillis()
  return {
    loading: {
      shapes: snapshots.count,
      oldestSeconds: Math.round(snapshots.oldestSeconds(now)),
      bytes: snapshots.bytes
    },
    progress: progress().map(({ done, name, startedAtMillis, total, unit }) => ({
      name,
      done,
      total: total ?? null,
      unit,
      startedAt: isoTime(startedAtMillis)
    })),
    faults: activeReport(faultTable, activeFaults),
    lastFaultAt: recentFaults[0] === undefined ? null : isoTime(recentFaults[0].atMillis),
    slowReaders: [
      ...slowReaders.longest(now).map((one) => ({ process: "main", ...one })),
      ...reports.flatMap((report) => report.slowest.map((one) => ({ process: report.process, ...one })))
    ],
    takeovers: takeoverHistory.recent.map(({ atMillis, ...takeover }) => ({
      at: isoTime(atMillis),
      ...takeover
    }))
  }
}

const statusOf = (services: OperatorServices, gathered: Gathered, meter: RateMeter): StatusReport => {
  const { config, engine, health, server, timers, workers } = services
  const { database, journal, presences } = gathered
  const state = health.current()
  const { asksDatabase, createsShapes } = abilities[state]
  const processes = processesOf(services, gathered)
  const totals = totalsOf(services, gathered)
  const [{ followerLagBytes }] = processes
  const self = { instanceId: config.instanceId, release: batonVersion, state, followerLagBytes }
  return {
    at: isoTime(timers.epochMillis()),
    release: batonVersion,
    instanceId: config.instanceId,
    uptimeSeconds: Math.round(process.uptime()),
    state,
    failure: health.failure() ?? null,
    role: config.role,
    epoch: engine.at.epoch,
    database: `${config.database.host}:${config.database.port}/${config.database.database}`,
    apiPort: server?.port ?? null,
    apiScheme: config.tlsCertFile === undefined ? "http" : "https",
    needsSecret: config.secret !== undefined,
    allowsDelete: createsShapes,
    instances: instancesReport(self, database?.locks ?? [], presences),
    slot:
      database === undefined
        ? null
        : { ...(database.slot ?? missingSlot(config.slotName)), verdict: slotVerdict(database.slot) },
    databaseAnswers: asksDatabase ? database !== undefined : null,
    shapes: engine.store.count,
    dormantShapes: engine.store.dormant.count,
    totals,
    rates: meter.look(totals),
    ...workOf(services, gathered),
    heldRequests: sumOf(processes.map(({ heldRequests }) => heldRequests)),
    workers: { configured: workers.configured, ready: workers.ready(), restarts: workers.restarts() },
    processes,
    storage: {
      place: storagePlace(config),
      journalBytes: journal === undefined ? null : sumOf(journal.map(({ bytes }) => bytes)),
      level: engine.store.level,
      unshippedBytes: engine.bucketStatus?.unshipped().bytes ?? null
    }
  }
}

const missingSlot = (name: string): SlotFacts => ({
  name,
  walStatus: null,
  activePid: null,
  retainedWalBytes: null,
  unconfirmedWalBytes: null,
  safeWalBytes: null,
  maxSlotWalKeepBytes: null
})
