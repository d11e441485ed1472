import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import * as fc from "fast-check"
import type { BucketConfig, S3Place } from "../../src/config/BucketConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { variables } from "../../src/config/Variables.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { configOfPlain, plainConfig } from "../../src/workers/PlainConfig.ts"

type Env = Readonly<Record<string, string | undefined>>

const minimal: Env = { DATABASE_URL: "postgresql://me:p@db/shop", ELECTRIC_SECRET: "s3cr3t" }
const inBucket: Env = { BATON_BUCKET: "s3://shop/baton" }

const parse = (env: Env) => parseConfig({ ...minimal, ...env })
const complete = (env: Env) => {
  const parsed = Result.getOrThrow(parse(env))
  if (parsed._tag !== "Complete") throw new Error("A database was given.")
  return parsed
}
const bucketOf = (env: Env): BucketConfig => {
  const { bucket } = complete({ ...inBucket, ...env }).config
  if (bucket === undefined) throw new Error("A bucket was given.")
  return bucket
}
const s3Of = (env: Env): S3Place => {
  const { place } = bucketOf(env)
  if (place._tag !== "S3") throw new Error("A bucket of S3 was given.")
  return place
}
const problemsOf = (env: Env): ReadonlyArray<string> => {
  const parsed = parse({ ...inBucket, ...env })
  return Result.isFailure(parsed) ? parsed.failure.problems : []
}

const s3 = (bucket: string, prefix = "") => ({ _tag: "S3", bucket, prefix }) as const
const directory = (path: string) => ({ _tag: "Directory", path }) as const

describe("the variables of a bucket", () => {
  it("says nothing and sets nothing when there is none, whatever AWS has set", () => {
    const aws = { AWS_ACCESS_KEY_ID: "AK", AWS_REGION: "no region at all", AWS_SESSION_TOKEN: "" }
    const { config, warnings } = complete(aws)
    assert.isUndefined(config.bucket)
    assert.deepStrictEqual(warnings, [])
  })

  it.each([
    ["s3://shop", s3("shop")],
    ["s3://shop/", s3("shop")],
    ["s3://shop/a/b c+é=%41/", s3("shop", "a/b c+é=%41")],
    ["s3://My_Old.Bucket/x", s3("My_Old.Bucket", "x")],
    ["file:///srv/baton", directory("/srv/baton")],
    ["file:///srv/b%20c/", directory("/srv/b c")],
    ["file://localhost/srv", directory("/srv")]
  ])("reads %s", (text, expected) => assert.deepInclude(bucketOf({ BATON_BUCKET: text }).place, expected))

  it.each([
    ["", "expected s3://"],
    ["shop", "expected s3://bucket, s3://bucket/prefix or file:///absolute/path"],
    ["https://shop.s3.amazonaws.com", "BATON_BUCKET_ENDPOINT"],
    ["gs://shop", "BATON_BUCKET_ENDPOINT"],
    ["s3://", "name of the bucket"],
    ["s3:///prefix", "name of the bucket"],
    ["s3://-shop", "name of the bucket"],
    ["s3://AK:hunter2@shop", "variables of their own"],
    ["s3://shop?region=x", "variables of their own"],
    ["s3://shop/a//b", "empty part"],
    ["s3://shop/../x", ".."],
    ["s3://shop/a\u0001", "control character"],
    [`s3://shop/${"x".repeat(513)}`, "512 bytes"],
    ["file://srv/baton", "three slashes"],
    ["file:///", "expected a directory"],
    ["file:///a%00b", "expected a directory"],
    ["file:///a?b", "%3F"]
  ])("refuses %j", (text, expected) => {
    const problems = problemsOf({ BATON_BUCKET: text })
    assert.lengthOf(problems, 1)
    assert.isTrue(problems[0]?.startsWith("BATON_BUCKET="), problems[0])
    assert.include(problems[0], expected)
    assert.notInclude(problems[0], "hunter2")
  })

  it("has defaults", () => {
    const { place, tailSecret, ...rest } = bucketOf({})
    assert.deepStrictEqual(place, {
      _tag: "S3",
      bucket: "shop",
      prefix: "baton",
      endpoint: undefined,
      region: "us-east-1",
      pathStyle: false,
      keys: undefined
    })
    assert.deepStrictEqual(rest, {
      flushMillis: 250,
      patienceMillis: undefined,
      cacheBytes: 10e9,
      forwards: true,
      advertiseUrl: undefined
    })
    assert.strictEqual(tailSecret && Redacted.value(tailSecret), "s3cr3t")
    const open = complete({ ...inBucket, ELECTRIC_SECRET: undefined, ELECTRIC_INSECURE: "true" })
    assert.isUndefined(open.config.bucket?.tailSecret)
  })

  const rows: ReadonlyArray<
    readonly [string, ReadonlyArray<readonly [string, Partial<BucketConfig>]>, ReadonlyArray<string>]
  > = [
    ["BATON_BUCKET_FLUSH", [["1s", { flushMillis: 1000 }]], ["", "0", "soon"]],
    ["BATON_BUCKET_PATIENCE", [["5min", { patienceMillis: 300_000 }]], ["", "0"]],
    ["BATON_BUCKET_CACHE", [["64 MiB", { cacheBytes: 2 ** 26 }]], ["", "0", "-1"]],
    ["BATON_ROLE", [], ["", "Replica", "writer"]],
    ["BATON_REPLICA_FORWARD", [["false", { forwards: false }]], ["", "no"]],
    [
      "BATON_ADVERTISE_URL",
      [
        ["http://10.0.0.7:3000", { advertiseUrl: "http://10.0.0.7:3000" }],
        ["https://a.example/baton/", { advertiseUrl: "https://a.example/baton" }],
        ["http://[fd00::1]:3000/", { advertiseUrl: "http://[fd00::1]:3000" }]
      ],
      ["", "10.0.0.7:3000", "ftp://x", "http://me:hunter2@x", "http://x?a", "http://", "http://a b"]
    ],
    ["BATON_TAIL_SECRET", [], [""]]
  ]
  for (const [name, good, bad] of rows)
    it(`${name}: good and bad values`, () => {
      for (const [text, expected] of good) assert.deepInclude(bucketOf({ [name]: text }), expected, text)
      for (const text of bad) {
        const problems = problemsOf({ [name]: text })
        assert.lengthOf(problems, 1, text)
        assert.include(problems[0], name)
        assert.notInclude(problems[0], "hunter2")
      }
    })

  it("has a test for every variable", () => {
    const tested = new Set([
      ...rows.map(([name]) => name),
      "BATON_BUCKET",
      "BATON_BUCKET_ENDPOINT",
      "BATON_BUCKET_REGION",
      "BATON_BUCKET_PATH_STYLE",
      "AWS_ACCESS_KEY_ID",
      "AWS_SECRET_ACCESS_KEY",
      "AWS_SESSION_TOKEN",
      "AWS_REGION"
    ])
    const named = Object.values(variables).filter(({ group }) => group === "Bucket")
    assert.deepStrictEqual(
      named.map(({ name }) => name).filter((name) => !tested.has(name)),
      []
    )
  })

  it.each<readonly [Env, Partial<S3Place>]>([
    [{}, { pathStyle: false, region: "us-east-1" }],
    [{ BATON_BUCKET: "s3://with.dots" }, { pathStyle: true }],
    [{ BATON_BUCKET_PATH_STYLE: "true" }, { pathStyle: true }],
    [
      { BATON_BUCKET_ENDPOINT: "https://store.example:9000/" },
      { endpoint: "https://store.example:9000", pathStyle: true }
    ],
    [
      { BATON_BUCKET_ENDPOINT: "https://x.example/storage/v1/s3", BATON_BUCKET_PATH_STYLE: "0" },
      { endpoint: "https://x.example/storage/v1/s3", pathStyle: false }
    ],
    [{ AWS_REGION: "eu-west-3" }, { region: "eu-west-3" }],
    [{ AWS_REGION: "" }, { region: "us-east-1" }],
    [{ AWS_REGION: "eu-west-3", BATON_BUCKET_REGION: "auto" }, { region: "auto" }]
  ])("addresses the store: %j", (env, expected) => assert.deepInclude(s3Of(env), expected))

  it.each<readonly [Env, string]>([
    [{ BATON_BUCKET_REGION: "" }, "BATON_BUCKET_REGION"],
    [{ BATON_BUCKET_REGION: "eu west" }, "BATON_BUCKET_REGION"],
    [{ BATON_BUCKET_ENDPOINT: "store:9000" }, "BATON_BUCKET_ENDPOINT"],
    [{ BATON_BUCKET_PATH_STYLE: "maybe" }, "BATON_BUCKET_PATH_STYLE"],
    [{ BATON_BUCKET: "s3://with.dots", BATON_BUCKET_PATH_STYLE: "false" }, "remove the variable"],
    [{ AWS_ACCESS_KEY_ID: "AK" }, "AWS_SECRET_ACCESS_KEY belong together"],
    [{ AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "SK" }, "AWS_ACCESS_KEY_ID and"],
    [{ ELECTRIC_STORAGE: "MEMORY" }, "/dev/shm/baton"]
  ])("refuses %j", (env, expected) => {
    const problems = problemsOf(env)
    assert.lengthOf(problems, 1)
    assert.include(problems[0], expected)
  })

  it("says whether it is a replica, with a bucket and with a directory that instances share", () => {
    for (const BATON_BUCKET of [undefined, "s3://shapes"])
      for (const [BATON_ROLE, role] of [
        [undefined, "instance"],
        ["instance", "instance"],
        ["replica", "replica"]
      ] as const)
        assert.strictEqual(complete({ ...inBucket, BATON_BUCKET, BATON_ROLE }).config.role, role)
  })

  it.each<readonly [Env, string]>([
    [{ BATON_BUCKET: undefined, BATON_BUCKET_FLUSH: "1s" }, "BATON_BUCKET_FLUSH: of no effect without"],
    [{ BATON_BUCKET: "file:///srv/b", BATON_BUCKET_REGION: "x" }, "BATON_BUCKET_REGION: of no effect with"]
  ])("warns of %j", (env, expected) => {
    const { warnings } = complete({ ...inBucket, ...env })
    assert.lengthOf(warnings, 1)
    assert.include(warnings[0], expected)
  })

  it("hides keys and secrets, and hands them to the workers whole", () => {
    const { config } = complete({
      ...inBucket,
      AWS_ACCESS_KEY_ID: "AK",
      AWS_SECRET_ACCESS_KEY: "hunter2",
      AWS_SESSION_TOKEN: "hunter2-token",
      BATON_TAIL_SECRET: "hunter2-tail"
    })
    assert.notInclude(JSON.stringify(config), "hunter2")
    const plain = plainConfig(config, 1, storagePaths("/srv", "default"))
    const travelled = configOfPlain(structuredClone(plain))
    assert.deepStrictEqual(travelled.bucket, config.bucket)
    assert.notInclude(JSON.stringify(travelled), "hunter2")
    const inDirectory = complete({ BATON_BUCKET: "file:///srv/b" }).config
    assert.deepStrictEqual(
      configOfPlain(plainConfig(inDirectory, 1, storagePaths("/srv", "default"))).bucket,
      inDirectory.bucket
    )
  })

  it("takes any prefix of printable parts as it is", () => {
    const part = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
      .filter((text) => !/[\p{Cc}/@?#]/u.test(text) && text !== "." && text !== "..")
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
        const prefix = parts.join("/")
        assert.strictEqual(s3Of({ BATON_BUCKET: `s3://shop/${prefix}` }).prefix, prefix)
      })
    )
  })
})
