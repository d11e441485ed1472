import { Effect, Result } from "effect"
import { parseConfig } from "../config/ParseConfig.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import { storagePaths, type StoragePaths } from "../storage/disk/StorageDir.ts"
import { isFinaliseRequested, requestFinalise } from "../storage/levels/LevelFile.ts"
import { type LevelStatus, levelStatus } from "../storage/levels/LevelStatus.ts"
import { unsaidLevel } from "../storage/levels/Levels.ts"

const lookMillis = 500
/** The holder of the lock looks every 5 s, and waits until an instance that has just lost it has answered its requests. */
const patienceMillis = 90_000

type Environment = Readonly<Record<string, string | undefined>>

/**
 * `baton finalise`: asks the active instance, by a file in storage, to raise the level of what is stored without waiting for
 * the time in which an older release might come back. Waits for it, and says what it waits for. Gives the exit status: 0 when
 * it is done, 1 when it cannot be asked, 2 when it is asked for and not done yet.
 */
export const finalise = (environment: Environment, say: (line: string) => void): Effect.Effect<number> => {
  const parsed = parseConfig(environment)
  if (Result.isFailure(parsed)) return said(say, parsed.failure.message, 1)
  if (parsed.success._tag !== "Complete")
    return said(say, "DATABASE_URL is not set: run this with the variables of the service.", 1)
  const { bucket, replicationStreamId, shapeDbStorageDir, storage, storageDir } = parsed.success.config
  if (storage === "memory") return said(say, "Storage in memory is never older than its release.", 0)
  if (bucket !== undefined)
    return said(say, "What is in a bucket has had the newest level since it was begun.", 0)
  const paths = storagePaths(storageDir, replicationStreamId, shapeDbStorageDir)
  return ask(paths, say).pipe(
    Effect.catch(({ message }) => said(say, `Cannot ask for it: ${message}. Check ELECTRIC_STORAGE_DIR.`, 1))
  )
}

const said = (say: (line: string) => void, line: string, status: number): Effect.Effect<number> =>
  Effect.sync(() => {
    say(line)
    return status
  })

const ask = (paths: StoragePaths, say: (line: string) => void) =>
  Effect.gen(function* () {
    if ((yield* fromDisk(() => paths.disk.stat(paths.root))) === undefined)
      return yield* said(say, `There is no storage in ${paths.root}; check ELECTRIC_STORAGE_DIR.`, 1)
    const status = fromDisk(() => levelStatus(paths, unsaidLevel))
    const first = yield* status
    if (first.level >= first.newest) return yield* said(say, isDone(first), 0)
    yield* fromDisk(() => requestFinalise(paths))
    yield* Effect.sync(() => say("Asked the active instance to finalise storage."))
    const done = yield* wait(paths, status, say).pipe(Effect.timeoutOption(patienceMillis))
    if (done._tag === "Some") return yield* said(say, isDone(done.value), 0)
    return yield* said(
      say,
      "It is not done yet, and will be when what it waits for is over, and an instance of this release is active.",
      2
    )
  })

const isDone = ({ level, oldestRelease }: LevelStatus): string =>
  `Storage is finalised: it has level ${level}, and releases before ${oldestRelease} cannot use it.`

const wait = <E>(paths: StoragePaths, status: Effect.Effect<LevelStatus, E>, say: (line: string) => void) =>
  Effect.gen(function* () {
    let before: string | null = null
    for (;;) {
      const now = yield* status
      const isAsked = yield* fromDisk(() => isFinaliseRequested(paths))
      if (now.level >= now.newest && !isAsked) return now
      if (now.because !== null && now.because !== before) {
        before = now.because
        say(`It waits: ${now.because}.`)
      }
      yield* Effect.sleep(lookMillis)
    }
  })
