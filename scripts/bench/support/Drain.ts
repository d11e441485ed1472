import { nowMillis } from "./Clock.ts"
import { drainMillis } from "./DrainFloor.ts"
import { cpuMillis, loopCpuMillis } from "./ProcessFacts.ts"
import { quiet } from "./HeldRequests.ts"
import { createSlot, dropSlot } from "./RawPostgres.ts"
import type { Service } from "./ServiceProcess.ts"
import { type Marker, publicationName, type Stage } from "./Stage.ts"

export const floorSlot = "bench_floor"

export interface Drained {
  readonly rows: number
  /** From the lock, which the service waits for, to everything durable and readable. */
  readonly millis: number
  /** The part of it to the first change: taking over, and finding out which shapes there are on its table. */
  readonly startMillis: number
  /** The rest: from the first change to the last. */
  readonly workMillis: number
  /** What reading the same from a second slot takes. */
  readonly floorMillis: number
  /** Processor time of the service in `workMillis`. */
  readonly cpuMillis: number
  /** Of that, what the thread of its event loop took: where that is busy all the time, it is what the rate depends on. */
  readonly loopCpuMillis: number
  /** The service that runs now. */
  readonly service: Service
}

/**
 * How fast the service works off what its slot holds. It is stopped, changes are made, and it is started again and waits
 * for its lock, which the benchmark holds until the service has nothing left to do. When it gets the lock it finds them
 * all, as the floor does in a slot of its own. So neither start-up nor writing is measured: the `start` benchmark does that.
 *
 * `first` changes a row or two of the same tables: what passes before these are readable is given as well.
 */
export const measureDrain = async (
  stage: Stage,
  marker: Marker,
  running: Service,
  first: () => Promise<unknown>,
  write: () => Promise<number>
): Promise<Drained> => {
  const { database } = stage
  await running.stop()
  await createSlot(database, floorSlot)
  await first()
  const firstLsn = await marker.commit()
  const rows = await write()
  const lsn = await marker.commit()
  const floorMillis = await drainMillis(database, floorSlot, publicationName)
  await dropSlot(database, floorSlot)

  const holder = await database.session()
  await holder.query("SELECT pg_advisory_lock(hashtext('electric_slot_default'))")
  const service = await stage.start({ until: "waiting" })
  await quiet(service.pid)
  const released = nowMillis()
  await holder.end()
  const began = await marker.readable(service.port, firstLsn)
  const cpuBefore = cpuMillis(service.pid)
  const loopCpuBefore = loopCpuMillis(service.pid)
  const { readableAt, durableAt } = await marker.arrival(service.port, lsn, 15)
  return {
    rows,
    millis: Math.max(readableAt, durableAt) - released,
    workMillis: Math.max(readableAt, durableAt) - began,
    startMillis: began - released,
    floorMillis,
    cpuMillis: cpuMillis(service.pid) - cpuBefore,
    loopCpuMillis: loopCpuMillis(service.pid) - loopCpuBefore,
    service
  }
}
