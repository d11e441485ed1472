import { invalidSyntax } from "./Failure.ts"

/** An `inet` or `cidr` value: the whole address and the length of the network part. */
export interface Inet {
  readonly family: 4 | 6
  readonly bits: number
  readonly address: bigint
}

const size = (family: 4 | 6): number => (family === 4 ? 32 : 128)

const parseV4 = (text: string): bigint | undefined => {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  let value = 0n
  for (let i = 1; i <= 4; i++) {
    const part = Number(match[i])
    if (part > 255) return undefined
    value = (value << 8n) | BigInt(part)
  }
  return value
}

const groups = (half: string | undefined): Array<string> =>
  half === undefined || half === "" ? [] : half.split(":")

const parseV6 = (text: string): bigint | undefined => {
  let source = text
  const tail = /:(\d+\.\d+\.\d+\.\d+)$/.exec(source)
  if (tail !== null) {
    const v4 = parseV4(tail[1] ?? "")
    if (v4 === undefined) return undefined
    source = `${source.slice(0, tail.index + 1)}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`
  }
  const halves = source.split("::")
  if (halves.length > 2) return undefined
  const head = groups(halves[0])
  const rest = groups(halves[1])
  const missing = 8 - head.length - rest.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  let value = 0n
  for (const group of [...head, ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...rest]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
    value = (value << 16n) | BigInt(`0x${group}`)
  }
  return value
}

/** Full addresses with an optional `/bits`. The abbreviated forms of `cidr` (`10.1`) are not read here. */
export const parseInet = (text: string, type: "inet" | "cidr"): Inet => {
  const match = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text)
  if (match === null) return invalidSyntax(type, text)
  const [, address = "", bitsText] = match
  const family = address.includes(":") ? 6 : 4
  const value = family === 4 ? parseV4(address) : parseV6(address)
  const bits = bitsText === undefined ? size(family) : Number(bitsText)
  if (value === undefined || bits > size(family)) return invalidSyntax(type, text)
  return { family, bits, address: value }
}

export const networkOf = (value: Inet): bigint => {
  const shift = BigInt(size(value.family) - value.bits)
  return (value.address >> shift) << shift
}

const hex = (part: ReadonlyArray<number>): string => part.map((group) => group.toString(16)).join(":")

const printV6 = (address: bigint): string => {
  const parts16 = Array.from({ length: 8 }, (_, i) => Number((address >> BigInt((7 - i) * 16)) & 0xffffn))
  let bestStart = -1
  let bestLength = 1
  for (let i = 0; i < 8;) {
    let j = i
    while (j < 8 && parts16[j] === 0) j++
    if (j - i > bestLength) {
      bestStart = i
      bestLength = j - i
    }
    i = Math.max(j, i + 1)
  }
  if (bestStart < 0) return hex(parts16)
  // The embedded IPv4 notation that Postgres uses for ::a.b.c.d and ::ffff:a.b.c.d
  if (bestStart === 0 && (bestLength === 6 || (bestLength === 5 && parts16[5] === 0xffff))) {
    const low = address & 0xffffffffn
    const v4 = [24n, 16n, 8n, 0n].map((shift) => String((low >> shift) & 0xffn)).join(".")
    return bestLength === 6 ? `::${v4}` : `::ffff:${v4}`
  }
  return `${hex(parts16.slice(0, bestStart))}::${hex(parts16.slice(bestStart + bestLength))}`
}

export const printHost = (value: Inet): string =>
  value.family === 4
    ? [24n, 16n, 8n, 0n].map((shift) => String((value.address >> shift) & 0xffn)).join(".")
    : printV6(value.address)

export const printInet = (value: Inet, type: "inet" | "cidr"): string =>
  type === "cidr" || value.bits !== size(value.family)
    ? `${printHost(value)}/${value.bits}`
    : printHost(value)

const bitsOf = (value: Inet, bits: number): bigint => value.address >> BigInt(size(value.family) - bits)

/** Family, then the common network part, then its length, then the whole address. */
export const compareInet = (a: Inet, b: Inet): number => {
  if (a.family !== b.family) return a.family - b.family
  const common = Math.min(a.bits, b.bits)
  const left = bitsOf(a, common)
  const right = bitsOf(b, common)
  if (left !== right) return left < right ? -1 : 1
  if (a.bits !== b.bits) return a.bits - b.bits
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0
}

/** `a << b` (strict) or `a <<= b`: a lies in the network of b. */
export const inetWithin = (a: Inet, b: Inet, strict: boolean): boolean =>
  a.family === b.family &&
  (strict ? a.bits > b.bits : a.bits >= b.bits) &&
  bitsOf(a, b.bits) === bitsOf(b, b.bits)
