import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { startService, type TestService } from "./Service.ts"
import { type DatabaseProxy, startDatabaseProxy } from "./DatabaseProxy.ts"
import { type Health, healthOf } from "./Balancer.ts"
import { patient } from "../Load.ts"

/** One place where an instance can run: its port, and its own wire to the database. */
export interface Place {
  readonly port: number
  readonly wire: DatabaseProxy
  service: TestService | undefined
  /** What runs there, see `InstancesOptions`. */
  entry: string | undefined
  /** Stopped with SIGSTOP. */
  frozen: boolean
}

export interface InstancesOptions {
  readonly databaseUrl: string
  readonly streamId: string
  readonly storageDir: string
  /**
   * Where the next instance at a place sees that directory: mounts of their own, as on machines of their own, or directories that have
   * nothing in common.
   */
  readonly seenAt?: (place: number) => string
  readonly places: number
  readonly env: Readonly<Record<string, string>>
  /** What only the instance at a place is told. */
  readonly envOf?: (place: number, port: number) => Readonly<Record<string, string>>
  /** What the next instance runs, by how many were started before; by default the command of this checkout. */
  readonly entryOf?: (started: number) => string | undefined
}

/** Instances of one service that share storage and stream, at fixed places. */
export interface Instances {
  readonly places: ReadonlyArray<Place>
  readonly ports: ReadonlyArray<number>
  /** Starts an instance at a free place, without waiting for anything. */
  readonly start: () => Promise<Place>
  readonly running: () => ReadonlyArray<Place>
  readonly health: (place: Place) => Promise<Health>
  /** The one that says it is active; waits for it, and fails with the logs of all when there is none in time. */
  readonly active: (deadlineMillis?: number, except?: Place) => Promise<Place>
  readonly untilHealth: (place: Place, wanted: Health, deadlineMillis?: number) => Promise<void>
  /** Until it waits for its turn, or has had it: on a machine that stands still for seconds the active one may lose it. */
  readonly untilReady: (place: Place) => Promise<void>
  readonly logs: () => string
  readonly close: () => Promise<void>
}

const slowStartMillis = 120_000

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

export const makeInstances = async (options: InstancesOptions): Promise<Instances> => {
  const databasePort = () => Number(new URL(options.databaseUrl).port)
  const places: Array<Place> = []
  for (let i = 0; i < options.places; i++) {
    places.push({
      port: await freePort(),
      wire: await startDatabaseProxy(databasePort),
      service: undefined,
      entry: undefined,
      frozen: false
    })
  }
  const pastLogs: Array<string> = []
  const logOf = (place: Place) => `--- port ${place.port}\n${place.service?.logs() ?? "not running"}`
  const logs = () => [...pastLogs, ...places.map(logOf)].join("\n")

  let started = 0
  const start = async (): Promise<Place> => {
    const place = places.find(({ service }) => service === undefined)
    if (place === undefined) throw new Error("Every place is taken.")
    const entry = options.entryOf?.(started++)
    const service = await startService({
      ...(entry === undefined ? {} : { entry }),
      port: place.port,
      storageDir: options.seenAt?.(places.indexOf(place)) ?? options.storageDir,
      until: false,
      env: {
        DATABASE_URL: place.wire.url(options.databaseUrl),
        ELECTRIC_REPLICATION_STREAM_ID: options.streamId,
        ELECTRIC_INSTANCE_ID: path.basename(String(place.port)),
        ...options.env,
        ...options.envOf?.(places.indexOf(place), place.port)
      }
    })
    place.service = service
    place.entry = entry
    place.frozen = false
    void service.ended.then(() => {
      pastLogs.push(logOf(place).slice(-20_000))
      if (pastLogs.length > 4) pastLogs.shift()
      if (place.service === service) place.service = undefined
    })
    return place
  }
  const running = () => places.filter(({ service }) => service !== undefined)
  const health = (place: Place) => healthOf(place.port, patient(1000))

  const waitFor = async <A>(
    what: string,
    look: () => Promise<A | undefined>,
    deadlineMillis: number
  ): Promise<A> => {
    const began = performance.now()
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      if (performance.now() - began > patient(deadlineMillis))
        throw new Error(`Waited ${deadlineMillis} ms in vain for ${what}:\n${logs()}`)
      await pause(10)
    }
  }

  return {
    places,
    ports: places.map(({ port }) => port),
    start,
    running,
    health,
    active: (deadlineMillis = 30_000, except) =>
      waitFor(
        "an active instance",
        async () => {
          for (const place of running()) {
            if (place !== except && !place.frozen && (await health(place)) === "active") return place
          }
          return undefined
        },
        deadlineMillis
      ),
    untilHealth: async (place, wanted, deadlineMillis = 30_000) => {
      await waitFor(
        `the instance on port ${place.port} to be ${wanted}`,
        async () => ((await health(place)) === wanted ? true : undefined),
        deadlineMillis
      )
    },
    untilReady: async (place) => {
      await waitFor(
        `the instance on port ${place.port} to be ready`,
        async () => {
          const now = await health(place)
          return now === "waiting" || now === "active" ? true : undefined
        },
        slowStartMillis
      )
    },
    logs,
    close: async () => {
      for (const { service, wire } of places) {
        await service?.dispose()
        await wire.close()
      }
    }
  }
}
