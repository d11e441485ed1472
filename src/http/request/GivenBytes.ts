/**
 * A body that a framework has read, as the bytes that it was made of: text and bytes as they are, anything else as JSON.
 * `undefined` where it cannot be written as JSON, as a stream, a form or a function cannot.
 */
export const givenBytes = (body: unknown): Uint8Array | undefined => {
  if (typeof body === "string") return Buffer.from(body)
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (body instanceof ArrayBuffer) return Buffer.from(body)
  if (!isPlain(body)) return undefined
  try {
    return Buffer.from(JSON.stringify(body))
  } catch {
    return undefined
  }
}

/** What parsers of JSON and of form data make. */
const isPlain = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null)
    return typeof value === "number" || typeof value === "boolean"
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || prototype === null || Object.getPrototypeOf(prototype) === null
}
