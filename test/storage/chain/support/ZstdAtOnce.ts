import type * as Zlib from "node:zlib"

type Done = (error: Error | null, bytes: Buffer) => void

/** Compression without threads, which would be done in another order each time. */
export const zstdAtOnce = (zlib: typeof Zlib): typeof Zlib => ({
  ...zlib,
  // Of the ways to call these the one that the chain uses.
  zstdCompress: ((bytes: Buffer, options: Zlib.ZstdOptions, done: Done) =>
    done(null, zlib.zstdCompressSync(bytes, options))) as typeof zlib.zstdCompress,
  zstdDecompress: ((bytes: Buffer, options: Zlib.ZstdOptions, done: Done) =>
    done(null, zlib.zstdDecompressSync(bytes, options))) as typeof zlib.zstdDecompress
})
