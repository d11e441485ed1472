import { execFileSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Result } from "effect"
import type { BucketConfig, S3Place } from "../../src/config/BucketConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"

/** What scripts that try a real store are told of it, for `parseArgs`. */
export const bucketOptions = {
  /** Of Ceph's gateway, and the 60 behind it. */
  port: { type: "string", default: "24000" },
  /** To start Ceph in. */
  directory: { type: "string" },
  bucket: { type: "string" },
  endpoint: { type: "string" },
  region: { type: "string" },
  "path-style": { type: "string" }
} as const

type Named = Readonly<Partial<Record<keyof typeof bucketOptions, string>>>

/** A store that is nobody's imitation. */
export interface RealBucket {
  readonly config: BucketConfig
  readonly place: S3Place
  readonly end: () => void
}

const script = join(import.meta.dirname, "../../scripts/ceph-rgw.sh")

/**
 * The store that is named, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a gateway of Ceph that is started, and ended by
 * `end`, where none is.
 */
export const beginRealBucket = (named: Named): RealBucket => {
  const { end, environment } = named.bucket === undefined ? beginCeph(named) : found(named)
  const parsed = Result.getOrThrow(
    parseConfig({ ...environment, DATABASE_URL: "postgres://nobody@nowhere", ELECTRIC_SECRET: "none" })
  )
  const config = parsed._tag === "Complete" ? parsed.config.bucket : undefined
  if (config?.place._tag !== "S3") throw new Error("No bucket behind the S3 API is named.")
  return { config, place: config.place, end }
}

const found = (named: Named) => ({
  end: () => {},
  environment: {
    ...process.env,
    BATON_BUCKET: named.bucket,
    BATON_BUCKET_ENDPOINT: named.endpoint,
    BATON_BUCKET_REGION: named.region,
    BATON_BUCKET_PATH_STYLE: named["path-style"]
  }
})

const beginCeph = ({
  directory = join(mkdtempSync(join(tmpdir(), "ceph-")), "cluster"),
  port = ""
}: Named) => {
  execFileSync(script, ["start", directory, port], { stdio: "inherit" })
  return {
    end: () => void execFileSync(script, ["stop", directory], { stdio: "inherit" }),
    environment: {
      BATON_BUCKET: "s3://baton/tries",
      BATON_BUCKET_ENDPOINT: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: "AKTEST",
      AWS_SECRET_ACCESS_KEY: "SKTEST"
    }
  }
}
