import type { BucketLook, DoctorFacts, StorageLook, Wanted } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf } from "./Seen.ts"
import { bytes } from "../Figures.ts"

const fullBytes = 16 * 1024 ** 2
const scarceBytes = 1024 ** 3

/** Magic numbers of statfs(2) that people have names for. */
const kinds: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x2fc12fc1: "zfs",
  0xf2f52010: "f2fs",
  0x01021994: "tmpfs",
  0x794c7630: "overlay",
  0x6969: "NFS",
  0xff534d42: "CIFS",
  0xfe534d42: "SMB",
  0x65735546: "FUSE",
  0x01021997: "9p",
  0x00c36400: "CephFS"
}

/** The directory that shapes are kept in, or their copies where there is a bucket. */
export const storageFindings = ({ bucket, storage, wanted }: DoctorFacts): ReadonlyArray<Finding> => [
  ...(storage === undefined
    ? [advice("storage", undefined, "Shapes are kept in memory, and gone when the process ends.")]
    : findingsOf("storage", storage, (seen) => directoryFindings(seen, wanted))),
  ...(bucket === undefined ? [] : findingsOf("bucket", bucket, bucketFindings))
]

const directoryFindings = (storage: StorageLook, wanted: Wanted): ReadonlyArray<Finding> => {
  if (storage.problem !== undefined)
    return [
      problem(
        "storage",
        storage.problem.isPath ? "BATON-STORAGE-UNUSABLE" : "BATON-STORAGE-UNWRITABLE",
        `${storage.problem.message}. This does not heal by itself.`
      )
    ]
  const kind = kinds[storage.fileSystem] ?? `0x${storage.fileSystem.toString(16)}`
  const there = storage.exists
    ? storage.wasUsed
      ? "there, with shapes"
      : "there, without shapes"
    : "not there yet: a start makes it"
  const place = `${wanted.storageDir} (${kind}, ${bytes(storage.freeBytes)} free) is ${there}.`
  return [
    fine("storage", place),
    ...space(storage),
    ...quota(storage, wanted),
    ...kindFindings(storage, kind, wanted),
    ...levels(storage)
  ]
}

const space = ({ freeBytes }: StorageLook): ReadonlyArray<Finding> => {
  if (freeBytes < fullBytes)
    return [
      problem(
        "storage",
        "BATON-STORAGE-WRITE",
        `The disk of the storage directory is full: ${bytes(freeBytes)} are left. It goes on once there is room.`
      )
    ]
  return freeBytes < scarceBytes
    ? [
        advice(
          "storage",
          undefined,
          `Only ${bytes(freeBytes)} are left on the disk of the storage directory.`
        )
      ]
    : []
}

const quota = ({ diskBytes }: StorageLook, { maxStorageBytes, storage }: Wanted): ReadonlyArray<Finding> =>
  // With a bucket the limit is for what stands there.
  maxStorageBytes === undefined || storage === "bucket" || maxStorageBytes < diskBytes
    ? []
    : [
        advice(
          "storage",
          undefined,
          `BATON_MAX_STORAGE (${bytes(maxStorageBytes)}) is more than the disk of the storage directory has (${bytes(diskBytes)}): that is full before anything is dropped.`
        )
      ]

const kindFindings = (
  { isLocal }: StorageLook,
  kind: string,
  { storage }: Wanted
): ReadonlyArray<Finding> => {
  if (!isLocal && storage === "bucket")
    return [
      advice(
        "storage",
        undefined,
        `Copies of the bucket are kept on ${kind}: a disk of this machine is faster.`
      )
    ]
  if (!isLocal)
    return [
      advice(
        "storage",
        "BATON-STORAGE-LATE",
        `The storage directory is on ${kind}, which shows late what other machines wrote: instances on other machines may wait some seconds more at a takeover. It works; a short attribute cache of the mount, or a bucket, is better.`
      )
    ]
  if (kind === "tmpfs")
    return [
      advice(
        "storage",
        undefined,
        "The storage directory is in memory (tmpfs): shapes are gone when the machine restarts."
      )
    ]
  return kind === "overlay"
    ? [
        advice(
          "storage",
          undefined,
          "The storage directory is in the writable layer of a container, and gone with it: mount a volume there."
        )
      ]
    : []
}

const levels = ({ level, newestKnownLevel, raisedBy }: StorageLook): ReadonlyArray<Finding> =>
  level === undefined || level <= newestKnownLevel
    ? []
    : [
        problem(
          "storage",
          "BATON-STORAGE-NEWER",
          `Storage was finalised by ${raisedBy === null ? "a newer release" : `release ${raisedBy}`}, and this one cannot read it. Start that release, or use an empty directory.`
        )
      ]

const bucketFindings = ({ isTried }: BucketLook): ReadonlyArray<Finding> => [
  fine(
    "bucket",
    isTried
      ? "The bucket can be written, read and listed, and keeps its promises."
      : "The bucket can be read and listed. Whether it can be written shows baton doctor --write."
  )
]
