import { type Benchmark, type Figure, option } from "./support/Benchmark.ts"
import { countingBucket, directoryBucket } from "./support/Buckets.ts"
import { measureDrain } from "./support/Drain.ts"
import { createItems, write } from "./support/Items.ts"
import { checkShapes, createShapes, tenantShape } from "./support/ShapeSets.ts"
import { type Marker, makeMarker, openStage, type Stage } from "./support/Stage.ts"
import type { Service } from "./support/ServiceProcess.ts"

interface Kind {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
}

interface Workload {
  readonly name: string
  readonly rowsEach: number
  readonly transactions: number
}

interface Rates {
  readonly perSecond: Array<number>
  readonly cpuMicros: Array<number>
  readonly floor: Array<number>
}

/** A service on a database of its own. */
interface Site {
  readonly kind: Kind
  readonly stage: Stage
  readonly marker: Marker
  service: Service
  nextId: number
}

const openSite = async (kind: Kind, shapes: number): Promise<Site> => {
  const stage = await openStage(kind.environment)
  await createItems(stage.database)
  const marker = await makeMarker(stage.database)
  const service = await stage.start()
  await marker.prepare(service.port)
  await createShapes(service.port, tenantShape, 0, shapes)
  return { kind, stage, marker, service, nextId: 1 }
}

const drain = async (site: Site, shapes: number, { rowsEach, transactions }: Workload) => {
  const { marker, stage } = site
  const some = async (count: number, each: number): Promise<number> => {
    const first = site.nextId
    site.nextId += count * each
    await write(stage.database, {
      first,
      transactions: count,
      rowsEach: each,
      unsynced: true,
      tenants: shapes
    })
    return count * each
  }
  const drained = await measureDrain(
    stage,
    marker,
    site.service,
    () => some(4, 1),
    () => some(transactions, rowsEach)
  )
  site.service = drained.service
  return drained
}

export const benchmark: Benchmark = {
  name: "bucket",
  summary: "row changes per second with a bucket, against those without",
  options: { runs: 3, shapes: 100, scale: 1, delay: 100, workload: 0 },
  short: { runs: 1, shapes: 10, scale: 0.1, delay: 100, workload: 0 },
  run: async (options, say) => {
    const shapes = option(options, "shapes")
    const delay = option(options, "delay")
    const only = option(options, "workload")
    const some = (count: number): number => Math.max(1, Math.round(count * option(options, "scale")))
    const workloads: ReadonlyArray<Workload> = [
      { name: "50,000-row transactions", rowsEach: 50_000, transactions: some(10) },
      { name: "10-row transactions", rowsEach: 10, transactions: some(40_000) },
      { name: "single rows", rowsEach: 1, transactions: some(100_000) }
    ].filter((_, i) => only === 0 || only === i + 1)
    const near = await countingBucket()
    const far = await countingBucket()
    await far.delay(delay, delay)
    const kinds: ReadonlyArray<Kind> = [
      { name: "no bucket", environment: {} },
      { name: "a directory", environment: directoryBucket().environment },
      { name: "S3", environment: near.environment },
      { name: `S3, ${delay} ms a request`, environment: far.environment }
    ]
    const sites: Array<Site> = []
    for (const kind of kinds) sites.push(await openSite(kind, shapes))
    const all = new Map<string, Rates>()
    for (let run = 0; run < option(options, "runs"); run++)
      for (const workload of workloads)
        for (const site of sites) {
          const others = sites.filter((other) => other !== site)
          // Others do not take part, but for what they would do at rest.
          for (const { service } of others) service.signal("SIGSTOP")
          const drained = await drain(site, shapes, workload)
          for (const { service } of others) service.signal("SIGCONT")
          const key = `${workload.name}, ${site.kind.name}`
          const rates = all.get(key) ?? { perSecond: [], cpuMicros: [], floor: [] }
          all.set(key, rates)
          rates.perSecond.push(drained.rows / (drained.workMillis / 1000))
          rates.cpuMicros.push((drained.cpuMillis * 1000) / drained.rows)
          rates.floor.push(drained.rows / (drained.floorMillis / 1000))
          say(
            `${key}: ${Math.round(rates.perSecond.at(-1) ?? 0)}/s (floor ${Math.round(rates.floor.at(-1) ?? 0)}), ` +
              `${rates.cpuMicros.at(-1)?.toFixed(1)} us of processor time per row`
          )
        }
    const figures = workloads.flatMap(({ name }) =>
      kinds.flatMap((kind, i): ReadonlyArray<Figure> => {
        const rates = all.get(`${name}, ${kind.name}`)
        const none = all.get(`${name}, no bucket`)
        if (rates === undefined || none === undefined) return []
        const against = (pick: (of: Rates) => Array<number>) =>
          i === 0 ? {} : { floor: { is: "no bucket", runs: pick(none) } }
        return [
          {
            what: `${name}, ${kind.name}`,
            unit: "rows/s",
            runs: rates.perSecond,
            ...against((of) => of.perSecond),
            ...(i === 0 ? {} : { aim: "90 %" })
          },
          {
            what: `${name}, ${kind.name}: processor time`,
            unit: "us/row",
            runs: rates.cpuMicros,
            compare: "time",
            ...against((of) => of.cpuMicros)
          }
        ]
      })
    )
    let read = 0
    for (const { nextId, service } of sites) {
      read += await checkShapes(service.port, shapes, tenantShape, (tenant) => {
        const rows = new Set<number>()
        for (let id = tenant === 0 ? shapes : tenant; id < nextId; id += shapes) rows.add(id)
        return rows
      })
      await service.stop()
    }
    return {
      figures,
      checked: `the rows are in the logs of their shapes exactly once: read back ${read}`,
      environment: [
        `${sites[0]?.stage.database.description}; from the first change to the last, which is acknowledged to Postgres`,
        `${shapes} shapes \`tenant = k\`; each kind has a Postgres of its own, and the others stand still meanwhile`
      ]
    }
  }
}
