import type { QuotaReason } from "./QuotaDecision.ts"

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0)} MiB`

/** Why shapes were dropped, for the log and the journal. */
export const quotaReason = (why: QuotaReason, limitBytes: number): string => {
  const limit = `BATON_MAX_STORAGE, which is ${mebibytes(limitBytes)}`
  switch (why) {
    case "tooLarge":
      return `it alone takes more than ${limit}`
    case "leastUsed":
      return `all shapes together take more than ${limit}, and it was used least recently`
    case "nothingElse":
      return `the shapes that are read take more than ${limit}`
  }
}

/** What a client is told whose shape is not made. */
export const quotaRefusal = (isTooLarge: boolean, limitBytes: number): string =>
  `${
    isTooLarge
      ? "The shape alone takes more than all shapes may"
      : "There is no room for the shape: those that are being read take all that shapes may"
  } (BATON_MAX_STORAGE is ${mebibytes(limitBytes)}). For the operator: raise the limit, or have clients ask for less`
