import type { StoragePaths } from "../disk/StorageDir.ts"
import { claimEpoch, highestClaim, publishEpoch, withdrawClaim } from "../journal/Epochs.ts"
import { markDurable, secureEpoch, unsecuredBefore } from "../journal/SecureEpoch.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { Durability } from "./Durability.ts"

/**
 * A directory that instances may share: what is synced there is durable, and claims are files (see `Epochs.ts`). `durableWrites`
 * is false where the directory goes with the process.
 */
export const sharedDirectory = (paths: StoragePaths, durableWrites: boolean): Durability => ({
  catchUp: () => Promise.resolve(),
  claim: (known) => claimEpoch(paths, known),
  withdraw: (epoch) => withdrawClaim(paths, epoch),
  giveUp: () => Promise.resolve(),
  publish: async (record) => {
    const before = durableWrites ? await unsecuredBefore(paths, record) : []
    const published = before.length === 0 ? record : { ...record, before }
    await publishEpoch(paths, published)
    return published
  },
  secure: (record) => (durableWrites ? secureEpoch(paths, record) : Promise.resolve()),
  highestClaim: () => highestClaim(paths),
  ...(durableWrites ? { markDurable: (end: JournalEnd) => markDurable(paths, end) } : {})
})
