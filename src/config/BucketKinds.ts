import { Result } from "effect"
import { fileURLToPath } from "node:url"
import type { DirectoryPlace, S3Place } from "./BucketConfig.ts"
import type { Kind } from "./Kind.ts"

/** What the URL of a bucket says by itself. */
type BucketUrl = Pick<S3Place, "_tag" | "bucket" | "prefix"> | DirectoryPlace

/** Rules of AWS, and letters and characters that older buckets and other stores have beside them. */
const bucketName = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/

/** S3 allows keys of 1024 bytes; ours need less than half of that below the prefix. */
const longestPrefixBytes = 512

const controlCharacter = /\p{Cc}/u

const s3Url = (rest: string): Result.Result<BucketUrl, string> => {
  const slash = rest.indexOf("/")
  const bucket = slash < 0 ? rest : rest.slice(0, slash)
  const prefix = slash < 0 ? "" : rest.slice(slash + 1).replace(/\/$/, "")
  if (/[@?#]/.test(rest)) {
    return Result.fail(
      "a bucket and a prefix are all that s3:// takes, without @ ? or #: keys, region and endpoint have variables of their own"
    )
  }
  if (!bucketName.test(bucket)) {
    return Result.fail(
      "the name of the bucket, up to the first slash, is none: letters, digits, dots and hyphens are"
    )
  }
  if (prefix === "") return Result.succeed({ _tag: "S3", bucket, prefix })
  if (prefix.split("/").some((part) => part === "" || part === "." || part === "..")) {
    return Result.fail("the prefix has an empty part, or one that is . or ..")
  }
  if (controlCharacter.test(prefix) || Buffer.byteLength(prefix) > longestPrefixBytes) {
    return Result.fail(`the prefix has a control character, or more than ${longestPrefixBytes} bytes`)
  }
  return Result.succeed({ _tag: "S3", bucket, prefix })
}

const fileUrl = (text: string): Result.Result<BucketUrl, string> => {
  try {
    const url = new URL(text)
    if (url.search !== "" || url.hash !== "")
      return Result.fail("a path with ? or # must have it as %3F or %23")
    const path = fileURLToPath(url)
    return path === "/" || path.includes("\0")
      ? Result.fail("expected a directory, such as file:///srv/baton")
      : Result.succeed({ _tag: "Directory", path: path.replace(/\/+$/, "") })
  } catch {
    return Result.fail("expected three slashes and an absolute path, such as file:///srv/baton")
  }
}

/** Where what instances share is kept. A reason never repeats what may be a key. */
export const bucketUrl: Kind<BucketUrl> = {
  accepts: "s3://bucket, s3://bucket/prefix or file:///absolute/path",
  parse: (text) => {
    if (text.startsWith("s3://")) return s3Url(text.slice("s3://".length))
    if (text.startsWith("file://")) return fileUrl(text)
    return Result.fail(
      `expected ${bucketUrl.accepts}` +
        (/^(?:https?|gs|gcs|r2|azure|minio):/.test(text)
          ? "; the address of a store that is not AWS goes to BATON_BUCKET_ENDPOINT"
          : "")
    )
  }
}

/** A base URL for requests, without a slash at its end. */
export const baseUrl: Kind<string> = {
  accepts: "an http:// or https:// URL without user, query and fragment, such as https://store.example:9000",
  parse: (text) => {
    const url = /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#@]*)?$/.test(text) ? URL.parse(text) : null
    return url === null
      ? Result.fail(`expected ${baseUrl.accepts}`)
      : Result.succeed(url.href.replace(/\/+$/, ""))
  }
}
