import type { S3Place } from "../config/BucketConfig.ts"

/** Percent-encoding as signatures have it: all but letters, digits and `- . _ ~`. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )

/** A prefix within a bucket that ends with a slash, or is empty. */
export const prefixOf = (place: Pick<S3Place, "prefix">, folder: string): string =>
  [place.prefix, folder]
    .filter((part) => part !== "")
    .map((part) => `${part}/`)
    .join("")

const awsEndpoint = (region: string): string =>
  `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`

/** The URL of the bucket, which ends with a slash. */
export const bucketBase = ({ bucket, endpoint, pathStyle, region }: S3Place): string => {
  const base = endpoint ?? awsEndpoint(region)
  return pathStyle ? `${base}/${encoded(bucket)}/` : `${base.replace("://", `://${bucket}.`)}/`
}

export const objectUrl = (base: string, key: string): string => base + key.split("/").map(encoded).join("/")

/** Objects behind the key `after`, up to `most` of them. Spaces are %20, because not all stores read a plus as one. */
export const listUrl = (base: string, prefix: string, after: string | undefined, most: number): string => {
  const parameters = {
    "list-type": "2",
    "max-keys": String(most),
    prefix,
    ...(after === undefined ? {} : { "start-after": after })
  }
  return `${base}?${Object.entries(parameters)
    .map(([name, value]) => `${name}=${encoded(value)}`)
    .join("&")}`
}
