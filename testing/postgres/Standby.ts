import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { filesOf, promote, queryIn } from "./Copies.ts"

/** A server, and one that follows it. */
export interface PrimaryWithStandby {
  readonly primary: Cluster
  readonly standby: Cluster
  /** Makes the standby a primary of its own. */
  readonly promote: () => Promise<void>
  readonly destroy: () => Promise<void>
}

interface StandbyOptions {
  /** The name of the physical slot that the standby streams from. */
  readonly physicalSlot: string
  /** Over what they get anyway. */
  readonly primary?: Readonly<Record<string, string>>
  readonly standby?: Readonly<Record<string, string>>
}

/** A new primary, and a standby that is a copy of it, streams from a slot of it, and tells it what it needs. */
export const startPrimaryWithStandby = async (options: StandbyOptions): Promise<PrimaryWithStandby> => {
  const { physicalSlot } = options
  const primary = await startCluster({ settings: { fsync: "off", ...options.primary } })
  try {
    await primary.stop()
    const files = filesOf(primary)
    await primary.start()
    await queryIn(primary, `SELECT pg_create_physical_replication_slot('${physicalSlot}', true)`)
    const standby = await files.startStandby(primary, {
      fsync: "off",
      hot_standby_feedback: "on",
      primary_slot_name: physicalSlot,
      ...options.standby
    })
    files.remove()
    return {
      primary,
      standby,
      promote: () => promote(standby),
      destroy: async () => {
        await standby.destroy()
        await primary.destroy()
      }
    }
  } catch (error) {
    await primary.destroy()
    throw error
  }
}
