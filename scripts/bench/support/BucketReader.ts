import { Redacted } from "effect"
import { fixedKeys } from "../../../src/bucket/KeySource.ts"
import type { ObjectInfo, ObjectStore } from "../../../src/bucket/ObjectStore.ts"
import { S3Store } from "../../../src/bucket/S3Store.ts"
import { systemTimers } from "../../../src/shared/Timers.ts"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { readAhead } from "../../../src/storage/chain/ReadAhead.ts"
import { formatVersion } from "../../../src/storage/disk/StorageDir.ts"

const listed = async (
  store: ObjectStore,
  prefix: string,
  after?: string
): Promise<ReadonlyArray<ObjectInfo>> => {
  const found: Array<ObjectInfo> = []
  for await (const info of store.list(prefix, after)) found.push(info)
  return found
}

export interface BucketReader {
  readonly all: () => Promise<ReadonlyArray<ObjectInfo>>
  /** Lists and reads what an instance reads before it is waiting, and does nothing with it. */
  readonly readAsAStart: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Reads the bucket that services with these variables share, by the way that they take. */
export const readBucket = (variables: Readonly<Record<string, string>>): BucketReader => {
  const store = new S3Store({
    place: {
      _tag: "S3",
      bucket: /^s3:\/\/([^/]+)/.exec(variables["BATON_BUCKET"] ?? "")?.[1] ?? "",
      prefix: "",
      endpoint: variables["BATON_BUCKET_ENDPOINT"],
      region: variables["BATON_BUCKET_REGION"] ?? "",
      pathStyle: true,
      keys: undefined
    },
    folder: `default/v${formatVersion}`,
    keys: fixedKeys({
      accessKeyId: variables["AWS_ACCESS_KEY_ID"] ?? "",
      secretAccessKey: Redacted.make(variables["AWS_SECRET_ACCESS_KEY"] ?? ""),
      sessionToken: undefined
    }),
    timers: systemTimers
  })
  const get = (key: string) => store.get(key)
  return {
    all: () => listed(store, ""),
    readAsAStart: async () => {
      const checkpoint = (await listed(store, "checkpoints/")).at(-1)
      if (checkpoint !== undefined) await get(checkpoint.key)
      const from = Number(checkpoint?.key.slice(-20) ?? 0)
      for await (const { bytes } of readAhead(
        get,
        store.list("wal/", from === 0 ? undefined : walKey(from - 1))
      ))
        if (bytes === undefined) throw new Error("An object of the chain is gone.")
    },
    close: () => store.close()
  }
}
