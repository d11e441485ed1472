/**
 * Where an object of a directory in place of a bucket stands: its key, with what file systems treat in a way of its own as `%` and
 * two digits. No key has a part that begins with a dot there, so that such names are free.
 */
export const pathOfKey = (key: string): string =>
  key
    .split("/")
    .map((part) => part.replaceAll(/^\.|^$|[%\\:*?"<>|\p{Cc}]/gu, percent) || "%")
    .join("/")

const percent = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")

/** The part of a key that a file or a directory stands for; `undefined` when it stands for none. */
export const keyPartOf = (name: string): string | undefined => {
  if (name.startsWith(".")) return undefined
  if (name === "%") return ""
  try {
    const part = decodeURIComponent(name)
    return pathOfKey(part) === name ? part : undefined
  } catch {
    return undefined
  }
}

/** In the order in which stores list keys: by the bytes of UTF-8. */
export const compareKeys = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
