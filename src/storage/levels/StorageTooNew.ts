/**
 * What is stored has a level that this release does not know. It does not heal by itself, and nothing may be read or written by
 * guessing.
 */
export class StorageTooNew extends Error {
  readonly level: number

  constructor(level: number, newest: number, release: string | undefined) {
    const by = release === undefined ? "a newer release" : `Baton ${release}`
    super(
      `What is stored there has been finalised by ${by}: it has level ${level}, and this release knows up to ${newest}. ` +
        `Nothing was changed. Start ${release === undefined ? "a newer release" : `Baton ${release} or a newer one`}; if this release is to run ` +
        "after all, give it an empty ELECTRIC_STORAGE_DIR, and every client fetches its shapes once more."
    )
    this.name = "StorageTooNew"
    this.level = level
  }
}
