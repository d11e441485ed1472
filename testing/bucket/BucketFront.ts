import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { AwsV4Signer } from "aws4fetch"
import { HttpConnections } from "../../src/bucket/HttpConnections.ts"
import { fixedKeys } from "../../src/bucket/KeySource.ts"
import { RequestPatience } from "../../src/bucket/RequestPatience.ts"
import { S3Store } from "../../src/bucket/S3Store.ts"
import { bucketBase, prefixOf } from "../../src/bucket/S3Url.ts"
import type { S3Place } from "../../src/config/BucketConfig.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { BucketFaults } from "./BucketFaults.ts"
import type { FakeS3 } from "./FakeS3.ts"
import { RequestCounter } from "./RequestCounter.ts"
import { answerWithFaults, readS3Request, type Reply, type S3Request } from "./S3Requests.ts"

/** A bucket that instances of a test share, and how each of them finds it; of `FakeS3` or of a real store. */
export type SharedBucket = Pick<FakeS3, "environment" | "faults" | "counter" | "close">

/** The headers of a request that say what is asked; the others are of the connection, or are made anew. */
const meant = ["if-none-match", "range", "x-amz-content-sha256"]

const silenceMillis = 60_000

/** A listing in which more time has passed since then. */
const inHaste = (listing: Buffer, beganMillis: number, clockRate: number): Buffer =>
  Buffer.from(
    listing.toString().replaceAll(/(?<=<LastModified>)[^<]+/g, (text) => {
      const millis = beganMillis + (Date.parse(text) - beganMillis) * clockRate
      return new Date(millis).toISOString()
    })
  )

/**
 * A server in front of a real store that passes requests on, signed with the keys of the store, so that faults can meet them on their way: each
 * client has an access key of its own, which is not checked. Keys are below a folder of the bucket, which `close` empties.
 * By what listings say, the clock of the store runs `clockRate` times as fast from now on.
 */
export const startBucketFront = async (
  real: S3Place,
  folder: string,
  clockRate = 1
): Promise<SharedBucket> => {
  if (real.keys === undefined) throw new Error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have to be set.")
  const keys = fixedKeys(real.keys)
  const beganMillis = Date.now()
  const connections = new HttpConnections(systemTimers)
  const faults = new BucketFaults()
  const counter = new RequestCounter()

  const pass = async ({ body, message, operation }: S3Request, isConditional: boolean): Promise<Reply> => {
    const method = message.method as "GET" | "PUT" | "DELETE"
    const headers = Object.fromEntries(
      meant
        .filter((name) => isConditional || name !== "if-none-match")
        .flatMap((name) => {
          const value = message.headers[name]
          return typeof value === "string" ? [[name, value]] : []
        })
    )
    const url = bucketBase(real) + (message.url ?? "").slice(`/${encodeURIComponent(real.bucket)}/`.length)
    const signer = new AwsV4Signer({
      method,
      url,
      headers,
      service: "s3",
      region: real.region,
      ...(await keys())
    })
    const signed = Object.fromEntries((await signer.sign()).headers)
    const patience = new RequestPatience(systemTimers, silenceMillis, silenceMillis)
    try {
      const answer = await connections.send({ method, url, headers: signed, body: [body] }, patience)
      if (operation === "read") counter.read.bytes += answer.body.length
      const said = operation === "list" ? inHaste(answer.body, beganMillis, clockRate) : answer.body
      return (response) => response.writeHead(answer.status).end(said)
    } finally {
      patience.end()
    }
  }

  const server = createServer((message, response) => {
    const answer = async () => {
      const request = await readS3Request(message, real.bucket)
      counter.count(request.operation, request.body.length)
      await answerWithFaults(faults, request, response, (condition) =>
        pass(request, condition === "ifAbsent")
      )
    }
    answer().catch(() => response.destroy())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return {
    faults,
    counter,
    environment: (prefix = "", client = "client") => ({
      BATON_BUCKET: `s3://${real.bucket}/${prefixOf(real, folder)}${prefix}`,
      BATON_BUCKET_ENDPOINT: `http://127.0.0.1:${port}`,
      BATON_BUCKET_REGION: real.region,
      AWS_ACCESS_KEY_ID: client,
      AWS_SECRET_ACCESS_KEY: "is not looked at"
    }),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      connections.close()
      const store = new S3Store({ place: real, folder, keys, timers: systemTimers })
      const all: Array<string> = []
      for await (const { key } of store.list("")) all.push(key)
      await store.remove(all)
      await store.close()
    }
  }
}
