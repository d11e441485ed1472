/**
 * Where files of shapes come from of which the disk only has copies. One that is not there, or not as it must be, is fetched before
 * anything is called damaged.
 */
export interface FileOrigin {
  /**
   * The file stands at its path, as its origin has it and as it must be, when this completes. Fails with a `DamagedFile` where the
   * origin does not have it like that, and with what the origin, or the disk, has failed with.
   */
  readonly fetch: (path: string) => Promise<void>
  /** What a reader has got of the copy was wrong: it goes, and the next reader fetches the file. `ino` says which file it was. */
  readonly discard: (path: string, ino?: number) => Promise<void>
  /** The copy is being read. */
  readonly used: (path: string) => void
}
