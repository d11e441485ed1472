import { generateKeyPairSync, randomBytes, sign } from "node:crypto"

/** A certificate and its private key, both PEM. */
interface CertificatePair {
  readonly certificate: string
  readonly privateKey: string
}

/** Tags of the ASN.1 types that a certificate is made of (ITU-T X.690). */
const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
} as const

/** One element in DER: tag, length, content. */
const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content])
  const size: Array<number> = []
  for (let rest = length; rest > 0; rest >>>= 8) size.unshift(rest & 255)
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length, ...size]), content])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>): Buffer => element(tags.sequence, ...parts)
const yes = element(tags.boolean, Buffer.from([0xff]))
const octets = (content: Uint8Array): Buffer => element(tags.octetString, content)
/** The first byte says how many bits of the last one do not count. */
const bits = (content: Uint8Array, unused = 0): Buffer =>
  element(tags.bitString, Buffer.from([unused]), content)
const explicit = (number: number, content: Uint8Array): Buffer => element(0xa0 | number, content)

const identifier = (text: string): Buffer => {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const groups = [part & 127]
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 127) | 128)
    bytes.push(...groups)
  }
  return element(tags.objectIdentifier, Buffer.from(bytes))
}

/** Two digits of the year until 2049, four from then on (RFC 5280, section 4.1.2.5). */
const time = (date: Date): Buffer => {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "")
  return date.getUTCFullYear() < 2050
    ? element(tags.utcTime, Buffer.from(digits.slice(2)))
    : element(tags.generalizedTime, Buffer.from(digits))
}

const ecdsaWithSha256 = sequence(identifier("1.2.840.10045.4.3.2"))

const nameOf = (commonName: string): Buffer =>
  sequence(
    element(
      tags.set,
      sequence(identifier("2.5.4.3"), element(tags.utf8String, Buffer.from(commonName, "utf8")))
    )
  )

const extension = (id: string, content: Uint8Array, critical = false): Buffer =>
  critical ? sequence(identifier(id), yes, octets(content)) : sequence(identifier(id), octets(content))

const dnsName = (name: string): Buffer => element(0x82, Buffer.from(name, "ascii"))
const ipAddress = (bytes: ReadonlyArray<number>): Buffer => element(0x87, Buffer.from(bytes))

/** Positive and without a leading zero byte, as DER wants its numbers. */
const serialNumber = (): Buffer => {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return element(tags.integer, bytes)
}

const pem = (der: Uint8Array): string => {
  const lines = Buffer.from(der)
    .toString("base64")
    .match(/.{1,64}/g)
  return `-----BEGIN CERTIFICATE-----\n${(lines ?? []).join("\n")}\n-----END CERTIFICATE-----\n`
}

/**
 * A certificate for this machine under its local names (`localhost`, 127.0.0.1, ::1), signed with its own key on the
 * curve P-256. Its layout is that of RFC 5280; what browsers want of it is a subject alternative name, the purpose
 * `serverAuth`, and a life of no more than 825 days.
 */
export const selfSignedCertificate = (from: Date, until: Date): CertificatePair => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const name = nameOf("Baton development (localhost)")
  const loopback6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  const names = sequence(dnsName("localhost"), ipAddress([127, 0, 0, 1]), ipAddress(loopback6))
  const extensions = sequence(
    // An authority for nothing but itself, so that a person may choose to trust it.
    extension("2.5.29.19", sequence(yes), true),
    // Signatures, of handshakes and of itself: bits 0 and 5.
    extension("2.5.29.15", bits(Buffer.from([0x84]), 2), true),
    extension("2.5.29.37", sequence(identifier("1.3.6.1.5.5.7.3.1"))),
    extension("2.5.29.17", names)
  )
  const content = sequence(
    explicit(0, element(tags.integer, Buffer.from([2]))),
    serialNumber(),
    ecdsaWithSha256,
    name,
    sequence(time(from), time(until)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, extensions)
  )
  const signature = sign("sha256", content, privateKey)
  return {
    certificate: pem(sequence(content, ecdsaWithSha256, bits(signature))),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  }
}
