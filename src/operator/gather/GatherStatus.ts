import { Effect } from "effect"
import { abilities } from "../../health/HealthState.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { fromDisk } from "../../storage/disk/DiskFault.ts"
import { bytesBehind, journalFiles } from "../../storage/JournalSize.ts"
import { readPresences } from "../../storage/levels/Presence.ts"
import { liveReport } from "../../workers/ProcessReporter.ts"
import { instancesReport } from "../reports/InstancesReport.ts"
import { type Rates, ratesBetween, type Totals } from "../reports/Rates.ts"
import { isoTime } from "../reports/ShapeRow.ts"
import { type ProcessStatus, slotVerdict, type StatusReport } from "../reports/StatusReport.ts"
import type { OperatorServices } from "../Services.ts"
import { askDatabase } from "./AskDatabase.ts"
import { cachedFor } from "./Cached.ts"

/** However many look, the database is asked so often, and the disk. */
const databaseFreshMillis = 2000
const diskFreshMillis = 2000

/** What is asked for in turn by everybody who looks. */
export interface StatusSource {
  readonly status: Effect.Effect<StatusReport>
  /** Counts of all processes, as they are now. */
  readonly totals: Effect.Effect<Totals>
}

const sumOf = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

const storagePlace = ({ bucket, storage, storageDir }: OperatorServices["config"]): string => {
  if (storage === "memory") return "memory"
  if (bucket === undefined) return storageDir
  const { place } = bucket
  return place._tag === "S3" ? `s3://${place.bucket}/${place.prefix}` : `file://${place.path}`
}

const orUndefined = <A>(work: () => Promise<A>): Effect.Effect<A | undefined> =>
  Effect.orElseSucceed(fromDisk(work), () => undefined)

/** Puts together what one instance knows of itself and can find out about the others. Nothing is done before somebody asks. */
export const makeStatusSource = (services: OperatorServices): Effect.Effect<StatusSource> =>
  Effect.gen(function* () {
    const { admin, api, config, engine, health, metrics, server, timers, workers } = services
    const beganMillis = timers.nowMillis() - process.uptime() * 1000
    const database = yield* cachedFor(timers, databaseFreshMillis, askDatabase(admin, config.slotName))
    const disk = yield* cachedFor(
      timers,
      diskFreshMillis,
      Effect.all(
        [orUndefined(() => journalFiles(engine.paths)), orUndefined(() => readPresences(engine.paths))],
        {
          concurrency: "unbounded"
        }
      )
    )
    let last: Totals | undefined
    let lastRates: Rates | null = null

    const processes = Effect.map(workers.reports, (reports) => ({
      own: {
        ...liveReport("main", api, engine, metrics),
        openRequests: server?.running() ?? 0
      },
      reports
    }))

    const totalsOf = ({ own, reports }: Effect.Success<typeof processes>): Totals => {
      const { operationsPerTransaction, receiveLagMillis, requests } = metrics
      const ofWorkers = reports.flatMap((report) => report.requests)
      return {
        atMillis: timers.nowMillis(),
        transactions: sumOf(receiveLagMillis.counts),
        changes: operationsPerTransaction.sum,
        receiveLagMillis: receiveLagMillis.sum,
        requests: [...requests.entries(), ...ofWorkers].reduce((sum, [, count]) => sum + count, 0),
        cpuSeconds: own.cpuSeconds + reports.reduce((sum, report) => sum + report.cpuSeconds, 0)
      }
    }

    const status = Effect.gen(function* () {
      const state = health.current()
      const asks = abilities[state].asksDatabase
      const [found, facts, [journal, presences]] = yield* Effect.all(
        [processes, asks ? database : Effect.succeed(undefined), disk],
        { concurrency: "unbounded" }
      )
      const totals = totalsOf(found)
      const rates = ratesBetween(last, totals)
      if (rates !== null || last === undefined || totals.atMillis - last.atMillis > 1000) last = totals
      lastRates = rates ?? lastRates
      const followerLagBytes =
        engine.writer !== undefined || journal === undefined ? null : bytesBehind(journal, engine.at)
      const own: ProcessStatus = { ...found.own, followerLagBytes }
      const others = found.reports.map(
        ({ eventLoop: _loop, requests: _requests, ...report }): ProcessStatus => ({
          ...report,
          followerLagBytes: report.followerLagBytes ?? null
        })
      )
      const self = { instanceId: config.instanceId, release: batonVersion, state, followerLagBytes }
      return {
        at: isoTime(timers.epochMillis()),
        release: batonVersion,
        instanceId: config.instanceId,
        uptimeSeconds: Math.round((timers.nowMillis() - beganMillis) / 1000),
        state,
        failure: health.failure() ?? null,
        role: config.role,
        epoch: engine.at.epoch,
        database: `${config.database.host}:${config.database.port}/${config.database.database}`,
        apiPort: server?.port ?? null,
        needsSecret: config.secret !== undefined,
        allowsDelete: abilities[state].createsShapes,
        instances: instancesReport(self, facts?.locks ?? [], presences ?? []),
        slot:
          facts === undefined
            ? null
            : { ...(facts.slot ?? missingSlot(config.slotName)), verdict: slotVerdict(facts.slot) },
        databaseAnswers: asks ? facts !== undefined : null,
        shapes: engine.store.count,
        totals,
        rates: lastRates,
        heldRequests: own.heldRequests + others.reduce((sum, { heldRequests }) => sum + heldRequests, 0),
        workers: {
          configured: workers.configured,
          ready: workers.ready(),
          restarts: workers.restarts()
        },
        processes: [own, ...others],
        storage: {
          place: storagePlace(config),
          journalBytes: journal?.reduce((sum, { bytes }) => sum + bytes, 0) ?? null,
          level: engine.store.level,
          unshippedBytes: engine.bucketStatus?.unshipped().bytes ?? null
        }
      } satisfies StatusReport
    })
    return { status, totals: Effect.map(processes, totalsOf) }
  })

const missingSlot = (name: string) => ({
  name,
  walStatus: null,
  activePid: null,
  retainedWalBytes: null,
  unconfirmedWalBytes: null,
  safeWalBytes: null,
  maxSlotWalKeepBytes: null
})
