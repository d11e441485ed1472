import { isUtf8 } from "node:buffer"
import { isSecretName, placeholder } from "../../config/Redaction.ts"

/** A decoded query value: `a=x` is text, `a[]=x` a list, `a[b]=x` a map. */
type QueryValue = string | Array<QueryValue> | QueryMap
/** Has no prototype, so that no parameter name means anything but itself. */
export interface QueryMap {
  [name: string]: QueryValue
}

interface DecodedQuery {
  readonly values: QueryMap
  /** False when percent-escapes form bytes that are not UTF-8; such text is decoded with U+FFFD. */
  readonly wellFormed: boolean
}

const maxDepth = 16
const newMap = (): QueryMap => Object.create(null) as QueryMap
const isMap = (value: QueryValue | undefined): value is QueryMap =>
  typeof value === "object" && !Array.isArray(value)

const hexDigit = (code: number): number => {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** Byte-exact decoding for what `decodeURIComponent` refuses: stray percent signs, raw bytes, bad UTF-8. */
const decodeBytes = (text: string): { readonly text: string; readonly wellFormed: boolean } => {
  const bytes = Buffer.allocUnsafe(text.length * 3)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 43) {
      bytes[length++] = 32
    } else if (code === 37) {
      const high = hexDigit(text.charCodeAt(i + 1))
      const low = hexDigit(text.charCodeAt(i + 2))
      if (high < 0 || low < 0) bytes[length++] = 37
      else {
        bytes[length++] = high * 16 + low
        i += 2
      }
    } else if (code < 256) {
      bytes[length++] = code // a request line is read as Latin-1: one character is one byte of the wire
    } else {
      length += bytes.write(text.charAt(i), length, "utf8")
    }
  }
  const decoded = bytes.subarray(0, length)
  return { text: decoded.toString("utf8"), wellFormed: isUtf8(decoded) }
}

const plain = /^[!-$&-*,-~]*$/
// eslint-disable-next-line no-control-regex
const ascii = /^[\x00-\x7f]*$/

const put = (target: QueryMap, name: string, value: string): void => {
  const bracket = name.indexOf("[")
  if (bracket <= 0 || !name.endsWith("]")) {
    target[name] = value
    return
  }
  const path = [name.slice(0, bracket), ...name.slice(bracket + 1, -1).split("][")]
  if (path.length > maxDepth) {
    target[name] = value
    return
  }
  let map = target
  for (let i = 0; ; i++) {
    const key = path[i] ?? ""
    const next = path[i + 1]
    if (next === undefined) {
      map[key] = value
      return
    }
    if (next === "") {
      const existing = map[key]
      const list = Array.isArray(existing) ? existing : []
      map[key] = list
      if (i + 2 >= path.length) {
        list.push(value)
        return
      }
      const element = newMap()
      list.push(element)
      map = element
      i++ // the empty segment is the list itself
      continue
    }
    const existing = map[key]
    const inner = isMap(existing) ? existing : newMap()
    map[key] = inner
    map = inner
  }
}

/**
 * Decodes a query string by the rules of `application/x-www-form-urlencoded`, once: `+` is a space, a repeated
 * key's last value wins, a key without `=` is the empty string, an escape that is none stays as it is.
 */
export const decodeQuery = (query: string): DecodedQuery => {
  const values = newMap()
  let wellFormed = true
  const decode = (text: string): string => {
    if (plain.test(text)) return text
    if (ascii.test(text)) {
      try {
        return decodeURIComponent(text.replaceAll("+", " "))
      } catch {
        // a stray percent sign or bad UTF-8: decided byte by byte
      }
    }
    const decoded = decodeBytes(text)
    wellFormed &&= decoded.wellFormed
    return decoded.text
  }
  let start = 0
  while (start < query.length) {
    let end = query.indexOf("&", start)
    if (end < 0) end = query.length
    if (end > start) {
      const equals = query.indexOf("=", start)
      const named = equals >= 0 && equals < end
      const name = decode(query.slice(start, named ? equals : end))
      put(values, name, named ? decode(query.slice(equals + 1, end)) : "")
    }
    start = end + 1
  }
  return { values, wellFormed }
}

/**
 * A query string as it may be logged: masked are the values of parameters that carry secrets, and whatever holds
 * `secret`, the service's own, under whatever name.
 */
export const redactQuery = (query: string, secret?: string): string =>
  query
    .split("&")
    .map((part) => {
      const equals = part.indexOf("=")
      if (equals >= 0 && isSecretName(part.slice(0, equals))) return `${part.slice(0, equals)}=${placeholder}`
      return secret !== undefined && decodeBytes(part).text.includes(secret) ? placeholder : part
    })
    .join("&")
