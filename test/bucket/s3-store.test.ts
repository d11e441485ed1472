import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import { createServer as createSecureServer } from "node:https"
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { BucketFault, type BucketFaultKind } from "../../src/bucket/BucketFault.ts"
import { fixedKeys } from "../../src/bucket/KeySource.ts"
import { S3Store } from "../../src/bucket/S3Store.ts"
import { bucketBase, listUrl, objectUrl } from "../../src/bucket/S3Url.ts"
import type { S3Place } from "../../src/config/BucketConfig.ts"
import { selfSignedCertificate } from "../../src/dev/SelfSignedCertificate.ts"
import { systemTimers, type Timers } from "../../src/shared/Timers.ts"
import type { Fate } from "../../testing/bucket/BucketFaults.ts"
import { type FakeS3, startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { eventually } from "../../testing/Eventually.ts"

let fake: FakeS3
beforeAll(async () => {
  fake = await startFakeS3({ region: "eu-central-1", clients: ["client", "other"] })
})
afterAll(() => fake.close())

const storeAt = (place: S3Place, options: { timers?: Timers; silenceMillis?: number } = {}): S3Store => {
  if (place.keys === undefined) throw new Error("the fake has keys")
  return new S3Store({ place, folder: "f", keys: fixedKeys(place.keys), timers: systemTimers, ...options })
}

const failure = async (asked: Promise<unknown>): Promise<BucketFault> => {
  const found = await asked.then(
    (answer) => answer,
    (error: unknown) => error
  )
  if (found instanceof BucketFault) return found
  throw new Error(`it was to fail with a fault, and gave ${String(found)}`)
}

const listOf = async (store: S3Store, prefix: string): Promise<ReadonlyArray<string>> => {
  const keys: Array<string> = []
  for await (const { key } of store.list(prefix)) keys.push(key)
  return keys
}

const body = [Buffer.from("content")]

describe("a store that refuses", () => {
  it.each<BucketFaultKind>([
    "unreachable",
    "timedOut",
    "throttled",
    "failing",
    "wrongKey",
    "wrongRegion",
    "clockSkew",
    "noBucket",
    "denied"
  ])("%s, whatever is asked", async (kind) => {
    const store = storeAt(fake.place(kind))
    const fault = fake.faults.add({ _tag: "Refuse", kind }, { key: new RegExp(`^${kind}/`) })
    const asked = {
      create: () => store.create("k", body),
      read: () => store.get("k"),
      list: () => listOf(store, "k"),
      remove: () => store.remove(["k"])
    }
    for (const operation of ["create", "read", "list", "remove"] as const)
      assert.include(await failure(asked[operation]()), {
        kind,
        operation,
        object: `s3://bucket/${kind}/f/k`
      })
    assert.strictEqual(fault.hits(), 4)
    fault.end()
    assert.strictEqual(await store.create("k", body), "created")
  })

  it.each<readonly [string, Fate, BucketFaultKind]>([
    ["has not done what it does not answer", { _tag: "Late" }, "unreachable"],
    ["has done what it does not answer", { _tag: "Unanswered" }, "unreachable"],
    ["sees two creates at once", { _tag: "Conflict" }, "failing"]
  ])("%s: the same is asked again", async (what, fate, kind) => {
    const key = what.replaceAll(" ", "-")
    const store = storeAt(fake.place("again"))
    const fault = fake.faults.add(fate, { operation: "create", key: new RegExp(key), times: 1 })
    assert.include(await failure(store.create(key, body)), { kind, passing: true })
    const isDone = fate._tag === "Unanswered"
    assert.strictEqual(await store.create(key, body), isDone ? "exists" : "created")
    // What lands late meets the object.
    fault.land()
    fault.end()
    assert.deepStrictEqual(await store.get(key), body[0])
  })

  it("is not honouring the condition: two creates succeed", async () => {
    const fault = fake.faults.add({ _tag: "Unconditional" }, { key: /^lies/ })
    const store = storeAt(fake.place("lies"))
    assert.strictEqual(await store.create("k", body), "created")
    assert.strictEqual(await store.create("k", body), "created")
    fault.end()
  })

  it("knows who asks: unknown keys, wrong secrets, another region, a clock that is wrong, another bucket", async () => {
    const place = fake.place("who")
    const secretAccessKey = Redacted.make("wrong")
    const keys = { accessKeyId: "client", secretAccessKey, sessionToken: undefined }
    const nowMillis = systemTimers.epochMillis()
    const late: Timers = { ...systemTimers, epochMillis: () => nowMillis + 20 * 60_000 }
    const stores: ReadonlyArray<readonly [S3Store, BucketFaultKind, RegExp]> = [
      [storeAt({ ...place, keys: { ...keys, accessKeyId: "nobody" } }), "wrongKey", /InvalidAccessKeyId/],
      [storeAt({ ...place, keys }), "wrongKey", /SignatureDoesNotMatch/],
      [
        storeAt({ ...place, region: "us-east-1" }),
        "wrongRegion",
        /expecting 'eu-central-1'.*BATON_BUCKET_REGION/
      ],
      [storeAt(place, { timers: late }), "clockSkew", /RequestTimeTooSkewed.*clock/],
      [storeAt({ ...place, bucket: "none" }), "noBucket", /NoSuchBucket/]
    ]
    for (const [store, kind, message] of stores) {
      for (const fault of [
        await failure(store.create("k", body)),
        await failure(store.get("k")),
        await failure(listOf(store, ""))
      ]) {
        assert.strictEqual(fault.kind, kind)
        assert.match(fault.message, message)
        assert.notInclude(fault.message, "secret of")
      }
    }
  })

  it("is met by one client and not by another", async () => {
    const fault = fake.faults.add({ _tag: "Refuse", kind: "unreachable" }, { client: "other" })
    assert.strictEqual((await failure(storeAt(fake.place("two", "other")).get("k"))).kind, "unreachable")
    assert.isUndefined(await storeAt(fake.place("two", "client")).get("k"))
    fault.end()
  })
})

describe("time", () => {
  it("ends a request that nobody answers, and leaves a slow one alone", async () => {
    const store = storeAt(fake.place("silent"), { silenceMillis: 100 })
    const hang = fake.faults.add({ _tag: "Hang" }, { key: /^silent\/f\/never/ })
    const fault = await failure(store.create("never", body))
    assert.include(fault, { kind: "timedOut", passing: true })
    assert.match(fault.message, /nothing was heard for 0\.1 s/)
    hang.end()
    const slow = fake.faults.add({ _tag: "Delay", millis: 200 }, { key: /^slow/ })
    assert.strictEqual(await storeAt(fake.place("slow")).create("k", body), "created")
    slow.end()
  })

  it("ends what is under way when the store is closed, and refuses what is asked then", async () => {
    const hang = fake.faults.add({ _tag: "Hang" }, { key: /^closing/ })
    const store = storeAt(fake.place("closing"))
    const asked = failure(store.get("k"))
    await eventually("the request to arrive", () => hang.hits() === 1)
    await store.close()
    assert.strictEqual((await asked).kind, "unreachable")
    assert.include((await failure(store.get("k"))).message, "has been closed")
    hang.end()
  })

  it("is saved by using connections again", async () => {
    const store = storeAt(fake.place("reused"))
    const before = fake.reused()
    for (let i = 0; i < 20; i++) await store.create(`k${i}`, body)
    assert.isAtLeast(fake.reused() - before, 19)
  })
})

const closedPort = async (): Promise<number> => {
  const server = createTcpServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

/** A server that says what it is told to. */
const answering = async (
  answer: RequestListener,
  run: (place: S3Place) => Promise<void>,
  /** To a request that asks whether its body is wanted; without it Node says yes. */
  whenAsked?: RequestListener
): Promise<void> => {
  const server = createServer(answer)
  if (whenAsked !== undefined) server.on("checkContinue", whenAsked)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  try {
    await run({ ...fake.place(), endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const page = (truncated: boolean, ...keys: ReadonlyArray<string>) =>
  `<ListBucketResult><IsTruncated>${truncated}</IsTruncated>${keys
    .map(
      (key) =>
        `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`
    )
    .join("")}</ListBucketResult>`

describe("what is no store", () => {
  it("is not taken for one without the object", () =>
    answering(
      (_, response) => response.writeHead(404).end("<html>default backend</html>"),
      async (place) => {
        const fault = await failure(storeAt(place).get("k"))
        assert.include(fault, { kind: "refused", said: "404, default backend" })
        assert.strictEqual((await failure(storeAt(place).remove(["k"]))).kind, "noBucket")
      }
    ))

  it("is not taken for an empty one", () =>
    answering(
      (_, response) => response.writeHead(200).end("<html>Welcome</html>"),
      async (place) =>
        assert.match((await failure(listOf(storeAt(place), ""))).message, /no listing of the S3 API/)
    ))

  it("is not followed to another place, where the signature would be wrong", () =>
    answering(
      (_, response) => response.writeHead(307, { location: "http://127.0.0.1:1/" }).end(),
      async (place) =>
        assert.include(await failure(storeAt(place).get("k")), { kind: "failing", said: "307" })
    ))

  it("lists out of order, not those asked for, or pages without end", async () => {
    for (const [document, said] of [
      [page(false, "f/b", "f/a"), /not in the order/],
      [page(false, "f/a", "f/a"), /not in the order/],
      [page(false, "g/a"), /not of those asked for/],
      [page(true, "f/a"), /not in the order/],
      [page(true), /page of the listing is empty/]
    ] as const)
      await answering(
        (_, response) => response.writeHead(200).end(document),
        async (place) => assert.match((await failure(listOf(storeAt(place), ""))).message, said)
      )
  })

  it("gives all where a part was asked for: the part is cut out", () =>
    answering(
      (_, response) => response.writeHead(200).end("0123456789"),
      async (place) =>
        assert.strictEqual((await storeAt(place).get("k", { from: 2, to: 5 }))?.toString(), "234")
    ))

  it("cuts an answer in its middle: half an object is never given", () =>
    answering(
      (_, response) => {
        response.writeHead(200, { "content-length": "100" }).write("half")
        response.destroy()
      },
      async (place) => assert.strictEqual((await failure(storeAt(place).get("k"))).kind, "unreachable")
    ))

  it("says old words of a failed condition", () =>
    answering(
      (_, response) => response.writeHead(304).end(),
      async (place) => assert.strictEqual(await storeAt(place).create("k", body), "exists")
    ))

  const large = [Buffer.alloc(300_000, "a"), Buffer.alloc(300_000, "b")]

  it("is not sent a large body that it does not want", async () => {
    let received = 0
    await answering(
      (_, response) => response.writeHead(500).end(),
      async (place) => assert.strictEqual(await storeAt(place).create("k", large), "exists"),
      (request, response) => {
        request.on("data", (piece: Buffer) => (received += piece.length))
        response.writeHead(412).end()
      }
    )
    assert.strictEqual(received, 0)
  })

  it("is sent a large body when it does not know that it is asked", async () => {
    let received = ""
    const timers: Timers = {
      ...systemTimers,
      after: (millis, work, aside) => systemTimers.after(millis / 20, work, aside)
    }
    const asked = async (place: S3Place) =>
      assert.strictEqual(await storeAt(place, { timers }).create("k", large), "created")
    await answering(
      (_, response) => response.writeHead(500).end(),
      asked,
      (request, response) => {
        request.on("data", (piece: Buffer) => (received += piece.toString()))
        request.on("end", () => response.writeHead(200).end())
      }
    )
    assert.strictEqual(received, Buffer.concat(large).toString())
  })

  it("is not there, or speaks something else", async () => {
    const place = fake.place()
    const plain = createTcpServer((socket: Socket) => {
      socket.on("error", () => {})
      socket.end("SSH-2.0-OpenSSH_9.2\r\n")
    })
    plain.listen(0, "127.0.0.1")
    await once(plain, "listening")
    const { port } = plain.address() as AddressInfo
    for (const [endpoint, said] of [
      [`http://127.0.0.1:${await closedPort()}`, /ECONNREFUSED, nobody listens there/],
      ["http://nowhere.invalid", /ENOTFOUND|EAI_AGAIN/],
      [`http://127.0.0.1:${port}`, /HPE_INVALID|Parse Error|Response does not match/i],
      [fake.endpoint.replace("http:", "https:"), /no TLS is spoken there|SSL|TLS/i]
    ] as const) {
      const fault = await failure(storeAt({ ...place, endpoint }).get("k"))
      assert.include(fault, { kind: "unreachable", passing: true }, endpoint)
      assert.match(fault.message, said)
    }
    plain.close()
  })

  it("has a certificate that nobody vouches for: it says so, and is shown nothing", async () => {
    const { certificate, privateKey } = selfSignedCertificate(
      new Date(Date.now() - 60_000),
      new Date(Date.now() + 3_600_000)
    )
    let asked = 0
    const server = createSecureServer({ cert: certificate, key: privateKey }, () => asked++)
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const fault = await failure(storeAt({ ...fake.place(), endpoint }).create("k", body))
    assert.include(fault, { kind: "unreachable" })
    assert.match(fault.message, /self-signed certificate/)
    assert.strictEqual(asked, 0)
    server.close()
  })

  it("is shown what keys of a session need", async () => {
    const seen: Array<Readonly<Record<string, unknown>>> = []
    await answering(
      (request, response) => {
        seen.push(request.headers)
        response.writeHead(200).end()
      },
      async (place) => {
        const secretAccessKey = Redacted.make("SK")
        const keys = { accessKeyId: "AK", secretAccessKey, sessionToken: Redacted.make("the token") }
        await storeAt({ ...place, keys }).create("k", body)
      }
    )
    assert.strictEqual(seen[0]?.["x-amz-security-token"], "the token")
    assert.strictEqual(seen[0]?.["if-none-match"], "*")
    assert.match(
      String(seen[0]?.["authorization"]),
      /SignedHeaders=[^,]*if-none-match[^,]*x-amz-security-token/
    )
    assert.isUndefined(seen[0]?.["accept-encoding"])
    assert.strictEqual(seen[0]?.["content-length"], "7")
  })
})

describe("addresses", () => {
  const place: S3Place = {
    _tag: "S3",
    bucket: "shop",
    prefix: "",
    endpoint: undefined,
    region: "eu-west-3",
    pathStyle: false,
    keys: undefined
  }
  it.each<readonly [Partial<S3Place>, string]>([
    [{}, "https://shop.s3.eu-west-3.amazonaws.com/"],
    [{ region: "cn-north-1" }, "https://shop.s3.cn-north-1.amazonaws.com.cn/"],
    [{ pathStyle: true }, "https://s3.eu-west-3.amazonaws.com/shop/"],
    [{ endpoint: "http://minio:9000", pathStyle: true }, "http://minio:9000/shop/"],
    [{ endpoint: "https://fra1.example.com" }, "https://shop.fra1.example.com/"],
    [
      { endpoint: "https://x.example/storage/v1/s3", pathStyle: true },
      "https://x.example/storage/v1/s3/shop/"
    ]
  ])("%j", (change, expected) => assert.strictEqual(bucketBase({ ...place, ...change }), expected))

  it("keep every character", () => {
    assert.strictEqual(
      objectUrl("http://h/b/", "a/b c+d?é!'()*"),
      "http://h/b/a/b%20c%2Bd%3F%C3%A9%21%27%28%29%2A"
    )
    assert.strictEqual(
      listUrl("http://h/b/", "a b/", "a b/c&d", 5),
      "http://h/b/?list-type=2&max-keys=5&prefix=a%20b%2F&start-after=a%20b%2Fc%26d"
    )
    assert.notInclude(listUrl("http://h/b/", "", undefined, 5), "start-after")
  })
})
