import type { FileHandle } from "node:fs/promises"

/** Fills `into` from `position` of the file on; false when the file ends before. */
export const fill = async (file: FileHandle, position: number, into: Buffer): Promise<boolean> => {
  for (let at = 0; at < into.length;) {
    const { bytesRead } = await file.read(into, at, into.length - at, position + at)
    if (bytesRead === 0) return false
    at += bytesRead
  }
  return true
}
