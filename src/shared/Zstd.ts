import { promisify } from "node:util"
import { constants, zstdCompress, zstdDecompress } from "node:zlib"

/**
 * What Node takes for the result at a time. By itself that is 16 KiB, each of them a turn of the pool of threads and of the event
 * loop: together several times the processor's time that zstd takes.
 */
const leastOutputBytes = 16 << 10
const mostOutputBytes = 16 << 20

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** In another thread. At the lowest ordinary level: the journal becomes as small by it as by higher ones. */
export const pack = (plain: Uint8Array): Promise<Buffer> =>
  compress(plain, {
    chunkSize: Math.max(leastOutputBytes, plain.length >> 3),
    params: { [constants.ZSTD_c_compressionLevel]: 1 }
  })

/**
 * What was packed from so many bytes, in another thread. `undefined` when it was packed from something else, or is damaged: it is not
 * unpacked beyond that.
 */
export const unpack = async (packed: Uint8Array, bytes: number): Promise<Buffer | undefined> => {
  const plain = await decompress(packed, {
    maxOutputLength: Math.max(1, bytes),
    // With some room: one that is full at the end takes a turn more.
    chunkSize: Math.min(mostOutputBytes, Math.max(leastOutputBytes, bytes + 64))
  }).catch(() => undefined)
  return plain?.length === bytes ? plain : undefined
}
