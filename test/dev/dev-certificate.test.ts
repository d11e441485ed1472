import { X509Certificate } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer, get } from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterEach, assert, describe, it } from "vitest"
import { devCertificate } from "../../src/dev/DevCertificate.ts"
import { selfSignedCertificate } from "../../src/dev/SelfSignedCertificate.ts"

const directories: Array<string> = []
const directory = (): string => {
  const made = mkdtempSync(join(tmpdir(), "baton-cert-"))
  directories.push(made)
  return made
}
afterEach(() => {
  for (const made of directories.splice(0)) rmSync(made, { recursive: true, force: true })
})

const read = (file: string) => readFileSync(file, "utf8")

describe("the certificate for development", () => {
  it("is one that TLS clients accept for every local name once they trust it, and for no other", async () => {
    const { certFile, keyFile } = await Effect.runPromise(devCertificate(directory()))
    const certificate = new X509Certificate(read(certFile))
    assert.isTrue(certificate.verify(certificate.publicKey))
    assert.isTrue(certificate.checkIssued(certificate))
    assert.strictEqual(certificate.checkHost("localhost"), "localhost")
    assert.strictEqual(certificate.checkIP("127.0.0.1"), "127.0.0.1")
    assert.isDefined(certificate.checkIP("::1"))
    assert.isUndefined(certificate.checkHost("example.com"))
    assert.deepStrictEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"])
    const server = createServer({ cert: read(certFile), key: read(keyFile) }, (_, response) =>
      response.end("yes")
    )
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const ask = (ca: string | undefined, servername: string) =>
      new Promise<string>((resolve) => {
        get({ host: "127.0.0.1", port, servername, ca, agent: false }, (response) => {
          response.resume()
          resolve(String(response.statusCode))
        }).on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      })
    try {
      assert.strictEqual(await ask(read(certFile), "localhost"), "200")
      assert.strictEqual(await ask(read(certFile), "example.com"), "ERR_TLS_CERT_ALTNAME_INVALID")
      assert.strictEqual(await ask(undefined, "localhost"), "DEPTH_ZERO_SELF_SIGNED_CERT")
    } finally {
      server.close()
    }
  })

  it("is kept between starts, and readable by its owner only", async () => {
    const home = directory()
    const all = await Promise.all([0, 1, 2].map(() => Effect.runPromise(devCertificate(home))))
    const first = read(all[0]?.certFile ?? "")
    for (const { certFile, keyFile } of all) {
      assert.strictEqual(read(certFile), first)
      assert.strictEqual(statSync(keyFile).mode & 0o077, 0)
    }
  })

  it("is made anew when it is damaged, about to expire, or not that of the key", async () => {
    const home = directory()
    const { certFile, keyFile } = await Effect.runPromise(devCertificate(home))
    const now = Date.now()
    const old = selfSignedCertificate(new Date(now - 1e9), new Date(now + 86_400_000))
    const other = selfSignedCertificate(new Date(now - 1e9), new Date(now + 1e10))
    for (const [certificate, key] of [
      ["damaged", read(keyFile)],
      [other.certificate, read(keyFile)],
      [old.certificate, old.privateKey]
    ] as const) {
      writeFileSync(certFile, certificate)
      writeFileSync(keyFile, key)
      await Effect.runPromise(devCertificate(home))
      assert.notStrictEqual(read(certFile), certificate)
      assert.isTrue(Date.parse(new X509Certificate(read(certFile)).validTo) > now + 1e10)
    }
  })

  it("has a date after 2049 written in the form that such dates have", () => {
    const { certificate } = selfSignedCertificate(new Date("2049-06-01"), new Date("2051-02-03T04:05:06Z"))
    const { validFrom, validTo } = new X509Certificate(certificate)
    assert.strictEqual(Date.parse(validFrom), Date.parse("2049-06-01"))
    assert.strictEqual(Date.parse(validTo), Date.parse("2051-02-03T04:05:06Z"))
  })

  it("that has no place says what to do", async () => {
    const error = await Effect.runPromise(Effect.flip(devCertificate("/dev/null/nowhere")))
    assert.include(error.message, "BATON_DEV_DIR")
    assert.include(error.message, "BATON_TLS_CERT_FILE")
  })
})
