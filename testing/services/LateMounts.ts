import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync } from "node:fs"
import * as path from "node:path"

export interface LateMountOptions {
  /** For so long sizes and times of files are remembered, as by `ac*max` of an NFS mount. */
  readonly attributeSeconds: number
  /** The same for what names stand for, and for names that were not there; NFS asks when a file is opened. Default 0. */
  readonly nameSeconds?: number
}

/** One directory seen through several mounts, each with a memory of its own, as on machines that share a network file system. */
export interface LateMounts {
  readonly directories: ReadonlyArray<string>
  readonly unmount: () => void
}

/** `undefined` where nothing can be mounted: no FUSE, or no bindfs (Debian package `bindfs`). */
export const mountLate = (
  parent: string,
  mounts: number,
  options: LateMountOptions
): LateMounts | undefined => {
  const { attributeSeconds, nameSeconds = 0 } = options
  const real = path.join(parent, "real")
  mkdirSync(real, { recursive: true })
  const directories: Array<string> = []
  const unmount = () => {
    for (const directory of directories.splice(0)) {
      spawnSync("umount", ["-l", directory])
      rmSync(directory, { recursive: true, force: true })
    }
  }
  for (let i = 0; i < mounts; i++) {
    const directory = path.join(parent, `machine-${i}`)
    mkdirSync(directory)
    directories.push(directory)
    const remembered = [
      `attr_timeout=${attributeSeconds}`,
      `ac_attr_timeout=${attributeSeconds}`,
      `entry_timeout=${nameSeconds}`,
      `negative_timeout=${nameSeconds}`
    ]
    if (spawnSync("bindfs", ["-o", remembered.join(","), real, directory]).status === 0) continue
    unmount()
    return undefined
  }
  return { directories: [...directories], unmount }
}
