import type * as Zlib from "node:zlib"

type Done = (error: Error | null, bytes: Buffer) => void

const atOnce =
  (work: (bytes: string | Buffer) => Buffer) =>
  (bytes: string | Buffer, done: Done): void => {
    let result: Buffer
    try {
      result = work(bytes)
    } catch (error) {
      done(error as Error, Buffer.alloc(0))
      return
    }
    done(null, result)
  }

/** Compression without threads, which would be done at moments that virtual time knows nothing of. */
export const zlibAtOnce = (zlib: typeof Zlib): typeof Zlib => ({
  ...zlib,
  // Of the ways to call these the one that storage uses.
  gzip: atOnce((bytes) => zlib.gzipSync(bytes)) as typeof zlib.gzip,
  gunzip: atOnce((bytes) => zlib.gunzipSync(bytes)) as typeof zlib.gunzip
})
