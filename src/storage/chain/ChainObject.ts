import type { EpochRecord } from "../journal/Epochs.ts"
import type { JournalEnd } from "../records/Records.ts"

/**
 * The chain: numbered objects `wal/<n>` (20 digits, from 0, never reused), each made by one create that succeeds once. Their order
 * is the order of everything that counts. See `Chain.ts`.
 */

/** Bytes of a segment of the journal, as they stand in its file. */
export interface JournalRange {
  readonly epoch: number
  readonly segment: number
  readonly position: number
  readonly bytes: Uint8Array
}

/** A small file beside the shapes, whole, by its name in the storage directory: what it held before counts no more. */
export interface SmallFile {
  readonly name: string
  readonly content: Uint8Array
}

/** An epoch begins: what its predecessor has written counts up to `previous`, and no further. */
export interface Opening extends EpochRecord {
  /** Where its writer can be asked for what it writes, as others reach it; absent where it cannot be. */
  readonly url?: string
}

/** What an object of the chain says. Ranges come before the opening, and the opening before the files. */
export interface ChainContent {
  /** The epoch that it is written for: that of the ranges, or the one that it opens. */
  readonly epoch: number
  readonly ranges: ReadonlyArray<JournalRange>
  readonly opens?: Opening
  readonly files?: ReadonlyArray<SmallFile>
  /** The key of a checkpoint that is there from now on. */
  readonly checkpoint?: string
  /** The first object of a new writer: what its predecessor would create next meets it, for ever. Never collected. */
  readonly isFence?: boolean
}

/** Where in the chain an object stands. */
export interface ChainLink {
  readonly n: number
  /** Of the object before; 0 for the first. */
  readonly previousCrc: number
  /** Of all of its bytes. */
  readonly crc: number
}

export interface ChainObject extends ChainContent, ChainLink {
  /** The stream of changes that it belongs to, made up by the creator of the first object. */
  readonly stream: string
}

/** What is known of a chain at some place in it: enough to go on from there, by reading or by writing. */
export interface ChainPlace {
  /** The number of the next object. */
  readonly next: number
  /** Of the object before it. */
  readonly crc: number
  readonly stream: string | undefined
  /** The newest opening; `undefined` before the first. */
  readonly opening: Opening | undefined
  /** Up to where the journal of the newest epoch is in the chain; zeros before there is any. */
  readonly end: JournalEnd
  /** Numbers of all objects that are a fence. */
  readonly fences: ReadonlyArray<number>
}

export const walKey = (n: number): string => `wal/${String(n).padStart(20, "0")}`

const walKeyForm = /^wal\/(\d{20})$/

/** The number of an object of the chain; `undefined` for the key of anything else. */
export const walNumber = (key: string): number | undefined => {
  const digits = walKeyForm.exec(key)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
