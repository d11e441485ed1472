import { join } from "node:path"
import type { Disk } from "../disk/Disk.ts"
import { writeFully } from "../disk/Files.ts"
import type { Spill } from "./LogFold.ts"

/** Lists as files, which are gone after `clear`. After a crash they are left over, and end in `.tmp` for whoever collects that. */
export class DiskSpill implements Spill {
  private readonly disk: Disk
  private readonly directory: string
  private readonly name: string
  private readonly lengths = new Map<number, number>()

  /** `name` is nobody else's in the directory. */
  constructor(disk: Disk, directory: string, name: string) {
    this.disk = disk
    this.directory = directory
    this.name = name
  }

  private path(list: number): string {
    return join(this.directory, `${this.name}.${list}.tmp`)
  }

  async append(list: number, bytes: Uint8Array): Promise<void> {
    const at = this.lengths.get(list)
    this.lengths.set(list, (at ?? 0) + bytes.length)
    const file = await this.disk.openToWrite(this.path(list), at === undefined ? "empty" : "existing")
    try {
      await writeFully(file, bytes, at ?? 0)
    } finally {
      await file.close()
    }
  }

  async *read(list: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
    const end = this.lengths.get(list) ?? 0
    // Many lists may be read at the same time: none of them keeps its file open.
    for (let at = 0; at < end;) {
      const piece = await this.piece(list, at, Math.min(pieceBytes, end - at))
      at += piece.length
      yield piece
    }
  }

  private async piece(list: number, at: number, length: number): Promise<Uint8Array> {
    const path = this.path(list)
    const file = await this.disk.open(path)
    if (file === undefined) throw new Error(`${path} was removed while it was needed`)
    try {
      const piece = Buffer.allocUnsafeSlow(length)
      const bytes = await file.read(piece, 0, length, at)
      if (bytes === 0) throw new Error(`${path} is shorter than what was written`)
      return piece.subarray(0, bytes)
    } finally {
      await file.close()
    }
  }

  async remove(list: number): Promise<void> {
    if (this.lengths.delete(list)) await this.disk.remove(this.path(list))
  }

  async clear(): Promise<void> {
    for (const list of this.lengths.keys()) await this.remove(list)
  }
}
