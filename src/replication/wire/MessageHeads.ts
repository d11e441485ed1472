const copyData = 0x64 // d
const headerBytes = 5

/**
 * Cuts a stream into messages of the frontend/backend protocol and keeps only the beginning of those that carry data: they
 * may be larger than what can be held. Other messages are handed over whole.
 */
export class MessageHeads {
  private readonly onData: (head: Buffer) => void
  private readonly onOther: (message: Buffer) => void
  private readonly headBytes: number
  private parts: Array<Buffer> = []
  private kept = 0
  /** Of the message at hand, header included; 0 while that is not known. */
  private total = 0
  private seen = 0

  constructor(headBytes: number, onData: (head: Buffer) => void, onOther: (message: Buffer) => void) {
    this.headBytes = headBytes
    this.onData = onData
    this.onOther = onOther
  }

  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      const needed = (this.total === 0 ? headerBytes : this.total) - this.seen
      const end = Math.min(chunk.length, at + needed)
      this.take(chunk.subarray(at, end))
      at = end
    }
  }

  private take(bytes: Buffer): void {
    this.seen += bytes.length
    const isData = this.total > 0 && this.parts[0]?.[0] === copyData
    const room = isData ? Math.max(0, headerBytes + this.headBytes - this.kept) : bytes.length
    if (room > 0) {
      this.parts.push(bytes.subarray(0, room))
      this.kept += Math.min(room, bytes.length)
    }
    if (this.total === 0 && this.seen === headerBytes) {
      const header = Buffer.concat(this.parts)
      this.parts = [header]
      this.total = 1 + header.readUInt32BE(1)
    }
    if (this.total === 0 || this.seen < this.total) return
    const message = Buffer.concat(this.parts)
    this.parts = []
    this.kept = 0
    this.total = 0
    this.seen = 0
    if (message[0] === copyData) this.onData(message.subarray(headerBytes))
    else this.onOther(message)
  }
}
