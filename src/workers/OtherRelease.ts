import { batonVersion } from "../shared/ServerIdentity.ts"
import { type Speaker, workerProtocol } from "./WorkerProtocol.ts"

/** What this process is. Read once: the files on disk may be others by now. */
export const ownSpeaker: Speaker = { release: batonVersion, protocol: workerProtocol }

/**
 * Whether the two processes are of one release. Those of different ones do not work together: they would have to agree on what
 * they say to each other, on the configuration, and on what each reads of storage. The main process does without the worker.
 */
export const isOfOneRelease = (own: Speaker, other: Speaker | undefined): boolean =>
  other !== undefined && other.release === own.release && other.protocol === own.protocol

const named = (speaker: Speaker | undefined): string =>
  speaker === undefined ? "an early release" : `release ${speaker.release}`

/** What the main process says, once. */
export const filesReplaced = (own: Speaker, worker: Speaker | undefined): string =>
  `The files of Baton have been replaced: an HTTP worker that was started from them is of ${named(worker)}, and this process ` +
  `is of ${named(own)}. That worker is not used, and no others are started. The processes that there are answer all ` +
  "requests. Restart this service to have all of its workers again."

/** What a worker says that was started by a process which does not know of this. */
export const startedByOther = (own: Speaker, main: Speaker | undefined): string =>
  `This HTTP worker is of ${named(own)}, and was started by a process of ${named(main)}: the files of Baton have been ` +
  "replaced. It does nothing, and the other processes answer all requests. Restart the service to have all of its workers again."
