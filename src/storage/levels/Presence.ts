import { join } from "node:path"
import { makeDirectories, readWhole, writeWhole } from "../disk/Files.ts"
import type { StoragePaths } from "../disk/StorageDir.ts"

/** What an instance says of itself in `instances/<name>.json`, again and again for as long as it lives. */
export interface Presence {
  readonly release: string
  /** The levels of storage that it reads, and the highest that it writes. */
  readonly oldest: number
  readonly newest: number
  /** Postgres' process id for the connection that holds the lock or waits for it. */
  readonly backendPid: number | null
  /** Rises with every time it is written. */
  readonly beat: number
  /** For operators; older releases do not say it. */
  readonly instanceId?: string
  readonly state?: string
  /** Bytes of the journal that it has not read; absent where it writes it. */
  readonly followerLagBytes?: number
}

const directory = ({ root }: StoragePaths): string => join(root, "instances")
const presenceFile = (paths: StoragePaths, name: string): string => join(directory(paths), `${name}.json`)

/** It need not survive a crash of the system, which its writer does not survive either. */
export const writePresence = async (paths: StoragePaths, name: string, presence: Presence): Promise<void> => {
  await makeDirectories(paths.disk, directory(paths))
  await writeWhole(paths.disk, presenceFile(paths, name), JSON.stringify(presence))
}

export const removePresence = (paths: StoragePaths, name: string): Promise<void> =>
  paths.disk.remove(presenceFile(paths, name))

const readPresence = async (paths: StoragePaths, name: string): Promise<Presence | undefined> => {
  const text = (await readWhole(paths.disk, presenceFile(paths, name)))?.toString()
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Presence
  } catch {
    return undefined
  }
}

/** What all instances have said, each under its own name, those that are gone included; none where there is no such folder. */
export const readPresences = async (
  paths: StoragePaths
): Promise<ReadonlyArray<Presence & { readonly name: string }>> => {
  const found: Array<Presence & { readonly name: string }> = []
  for (const file of await paths.disk.list(directory(paths))) {
    if (!file.endsWith(".json")) continue
    const name = file.slice(0, -".json".length)
    const presence = await readPresence(paths, name)
    if (presence !== undefined) found.push({ ...presence, name })
  }
  return found
}

/** An instance that has not said anything for so long is gone. */
const silenceMillis = 60_000
/** What a gone instance has left behind is removed after so long. */
const leftoverMillis = 600_000

/**
 * Who else is there. Clocks of other machines are not trusted: an instance lives if what it says has changed in the last
 * minute, and as long as it has not been watched for a minute.
 */
export class Instances {
  private readonly paths: StoragePaths
  private readonly nowMillis: () => number
  /** Since when files are there that were being written: one that stays was left by an instance that was killed meanwhile. */
  private readonly unfinished = new Map<string, number>()
  private readonly seen = new Map<string, { readonly presence: Presence; readonly changedMillis: number }>()

  constructor(paths: StoragePaths, nowMillis: () => number) {
    this.paths = paths
    this.nowMillis = nowMillis
  }

  /** The living ones but `own`; what the others have left behind long ago is removed. */
  async others(own: string): Promise<ReadonlyArray<Presence>> {
    const now = this.nowMillis()
    const files = await this.paths.disk.list(directory(this.paths))
    const names = files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length))
    for (const name of this.seen.keys()) if (!names.includes(name)) this.seen.delete(name)
    const living: Array<Presence> = []
    const writers = new Set([own])
    for (const name of names) {
      if (name === own) continue
      const presence = await readPresence(this.paths, name)
      if (presence === undefined) continue
      const before = this.seen.get(name)
      const changedMillis = before?.presence.beat === presence.beat ? before.changedMillis : now
      this.seen.set(name, { presence, changedMillis })
      if (now - changedMillis < silenceMillis) {
        living.push(presence)
        writers.add(name)
      } else if (now - changedMillis > leftoverMillis) await removePresence(this.paths, name)
    }
    await this.removeUnfinished(
      files.filter((file) => file.endsWith(".tmp")),
      writers
    )
    return living
  }

  /** The files of living instances get their names in a moment, or are written again. */
  private async removeUnfinished(files: ReadonlyArray<string>, writers: ReadonlySet<string>): Promise<void> {
    const now = this.nowMillis()
    const left = files.filter((file) => !writers.has(file.slice(0, file.indexOf("."))))
    for (const file of this.unfinished.keys()) if (!left.includes(file)) this.unfinished.delete(file)
    for (const file of left) {
      const sinceMillis = this.unfinished.get(file) ?? now
      this.unfinished.set(file, sinceMillis)
      if (now - sinceMillis > leftoverMillis) await this.paths.disk.remove(join(directory(this.paths), file))
    }
  }
}
