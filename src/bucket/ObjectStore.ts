/** What a listing says of an object. */
export interface ObjectInfo {
  readonly key: string
  readonly bytes: number
  /** By the clock of the store, milliseconds since 1970: ages are differences to what the same store says. */
  readonly modifiedMillis: number
}

/** A part of an object: from its byte `from` up to, and without, its byte `to`. */
export interface ByteRange {
  readonly from: number
  readonly to: number
}

/**
 * Immutable objects under a prefix of a bucket, or below a directory. All that Baton asks of it is that of many who create the
 * same key exactly one succeeds, and that what was created is there for everybody from then on: objects are never changed, and
 * there is no rename. Every call fails with a `BucketFault`, and tries nothing twice: who asks knows what may be asked again.
 */
export interface ObjectStore {
  /** How messages call it, `s3://name/prefix` for one. */
  readonly name: string
  /**
   * Creates an object that is not there yet. "exists": there is one, of another creator. After a fault it may be there all
   * the same: asking again, with the same bytes, and comparing them with those that are there, tells. The bytes must not change before it completes.
   */
  create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists">
  /** The object, or a part of it; `undefined` when there is none. */
  get(key: string, range?: ByteRange): Promise<Buffer | undefined>
  /** Objects whose key begins with `prefix`, in the order of their keys, those behind the key `after`; asked for page by page. */
  list(prefix: string, after?: string): AsyncIterable<ObjectInfo>
  /** Removes objects, as far as they are there. */
  remove(keys: ReadonlyArray<string>): Promise<void>
  /** Lets go of connections. */
  close(): Promise<void>
}
