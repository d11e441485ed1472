import { holds, piecesForSums, type SegmentSum } from "./SegmentSum.ts"
import { segmentFile, type StoragePaths } from "../disk/StorageDir.ts"

const keyOf = ({ bytes, crc, epoch, segment }: SegmentSum): string => `${epoch}-${segment} ${bytes} ${crc}`

/** Finds out, once for each, whether segments hold the bytes that their indexes were made of. */
export class SegmentProofs {
  private readonly proofs = new Map<string, Promise<boolean>>()
  private readonly refuted = new Set<string>()
  private readonly paths: StoragePaths
  private isOver = false

  constructor(paths: StoragePaths) {
    this.paths = paths
  }

  /** Whether it is known that they are other bytes. */
  isRefuted(sum: SegmentSum): boolean {
    return this.refuted.has(keyOf(sum))
  }

  /**
   * Reads the segment. One that is gone holds nothing that could be wrong. A disk that refuses has proved nothing: who asks
   * after that has it read again.
   */
  prove(sum: SegmentSum): Promise<boolean> {
    const key = keyOf(sum)
    const known = this.proofs.get(key)
    if (known !== undefined) return known
    const proof = this.find(sum, key).catch((error: unknown) => {
      this.proofs.delete(key)
      throw error
    })
    this.proofs.set(key, proof)
    return proof
  }

  private async find(sum: SegmentSum, key: string): Promise<boolean> {
    const path = segmentFile(this.paths, sum.epoch, sum.segment)
    if (await holds(this.paths.disk, path, sum.bytes, sum.crc, piecesForSums(), () => !this.isOver))
      return true
    if (this.isOver || (await this.paths.disk.stat(path)) === undefined) return true
    this.refuted.add(key)
    return false
  }

  /** Ends the reading; what has not been found out is not asked for any more. */
  async close(): Promise<void> {
    this.isOver = true
    await Promise.allSettled(this.proofs.values())
  }
}
