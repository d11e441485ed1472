import { BucketFault, type BucketFaultKind, type BucketOperation } from "./BucketFault.ts"

/** By the system's code for an error (errno(3)): what it is for a bucket, and what it means. */
const meanings: Readonly<Record<string, readonly [kind: BucketFaultKind, text: string]>> = {
  EACCES: ["denied", "this user may not do that there"],
  EPERM: ["denied", "this user may not do that there"],
  EROFS: ["denied", "its file system is mounted read-only"],
  ENOENT: ["noBucket", "there is no such directory"],
  ENOTDIR: ["noBucket", "something in this path is no directory"],
  ELOOP: ["noBucket", "its symbolic links lead in a circle"],
  ETIMEDOUT: ["timedOut", "the file server does not answer"],
  EHOSTDOWN: ["unreachable", "the file server does not answer"],
  EIO: ["failing", "the disk reports an error"],
  ENOSPC: ["failing", "the disk is full"],
  EDQUOT: ["failing", "the quota is used up"],
  ESTALE: ["failing", "the file server does not know it any more"],
  ENAMETOOLONG: ["refused", "the name is longer than the file system takes"],
  EISDIR: ["refused", "it is a directory"],
  EMLINK: ["refused", "the file system takes no second name for a file"],
  ENOTSUP: ["unsafe", "the file system takes no second name for a file"]
}

export const codeOf = (error: unknown): string =>
  String((error as { readonly code?: unknown } | undefined)?.code ?? "")

export const directoryFault = (operation: BucketOperation, object: string, cause: unknown): BucketFault => {
  if (cause instanceof BucketFault) return cause
  const code = codeOf(cause)
  const [kind, text] =
    meanings[code] ?? (["failing", cause instanceof Error ? cause.message : String(cause)] as const)
  return new BucketFault({ operation, object, kind, said: `${code}, ${text}`, cause })
}
