import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { BucketCommand, BucketCounts, BucketReady } from "./bucketServer.ts"
import { onEnd } from "./Cleanup.ts"
import { startHelper } from "./Fork.ts"

/** How instances find what they share. */
interface SharedBucket {
  readonly environment: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}

/** One that counts, in a process of its own. */
export interface CountingBucket extends SharedBucket {
  readonly pid: number
  /** Since the last time. */
  readonly counts: () => Promise<BucketCounts>
  readonly delay: (createMillis: number, otherMillis?: number) => Promise<void>
}

/** A directory in place of a bucket. */
export const directoryBucket = (): SharedBucket => {
  const directory = mkdtempSync(join(tmpdir(), "baton-bench-bucket-"))
  const stop = onEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  return { environment: { BATON_BUCKET: `file://${directory}` }, stop }
}

export const countingBucket = async (): Promise<CountingBucket> => {
  const helper = await startHelper("bucketServer.ts")
  const ask = (command: BucketCommand): Promise<unknown> => {
    const answer = new Promise((resolve) => helper.child.once("message", resolve))
    helper.child.send(command)
    return answer
  }
  return {
    pid: helper.pid,
    environment: (helper.ready as BucketReady).environment,
    counts: async () => (await ask({ _tag: "Counts", startAgain: true })) as BucketCounts,
    delay: async (createMillis, otherMillis = 0) =>
      void (await ask({ _tag: "Delay", createMillis, otherMillis })),
    stop: helper.stop
  }
}
