import { mkdirSync, rmSync } from "node:fs"
import * as path from "node:path"
import { type DatabaseProxy as Wire, startDatabaseProxy as startWire } from "./DatabaseProxy.ts"

export interface MachinesOptions {
  /** Directories of the machines are made below this one. */
  readonly directory: string
  readonly count: number
  /** What instances are told of the bucket, by machine. */
  readonly bucket: (machine: number) => Readonly<Record<string, string>>
  /** Whether the disk of a machine is empty again when an instance starts there. */
  readonly losesDisk: () => boolean
}

/** Machines that share no disk, and reach each other over wires that can be cut. */
export interface Machines {
  /** Where the next instance on a machine has its storage. */
  readonly storageDir: (machine: number) => string
  /** What the instance on a machine is told. */
  readonly env: (machine: number, port: number) => Readonly<Record<string, string>>
  /** To the instance on a machine, from all others. */
  readonly wires: ReadonlyArray<Wire>
  /** The next instance on each machine finds an empty disk. */
  readonly loseDisks: () => void
  readonly close: () => Promise<void>
}

export const startMachines = async (options: MachinesOptions): Promise<Machines> => {
  const ports: Array<number> = []
  const wires: Array<Wire> = []
  for (let machine = 0; machine < options.count; machine++)
    wires.push(await startWire(() => ports[machine] ?? 0))
  const lost = new Set<number>()
  return {
    storageDir: (machine) => {
      const directory = path.join(options.directory, `machine-${machine}`)
      if (lost.delete(machine) || options.losesDisk()) rmSync(directory, { recursive: true, force: true })
      mkdirSync(directory, { recursive: true })
      return directory
    },
    env: (machine, port) => {
      ports[machine] = port
      return {
        ...options.bucket(machine),
        BATON_ADVERTISE_URL: `http://127.0.0.1:${wires[machine]?.port}`,
        BATON_TAIL_SECRET: "of all of them"
      }
    },
    wires,
    loseDisks: () => {
      for (let machine = 0; machine < options.count; machine++) lost.add(machine)
    },
    close: async () => {
      for (const wire of wires) await wire.close()
    }
  }
}
