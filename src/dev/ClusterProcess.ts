import { setTimeout as sleep } from "node:timers/promises"
import type { ClusterPlace } from "./ClusterPlace.ts"
import { freePort } from "./FreePort.ts"
import { startGuard } from "./Guard.ts"
import { launch, type Postmaster } from "./Postmaster.ts"

type Settings = Readonly<Record<string, string>>

interface ClusterProcessOptions {
  readonly preferredPort: number | undefined
  readonly settings: Settings
  /** Postgres ends with this process, however that ends. */
  readonly isGuarded: boolean
}

/** Others may hold for a moment longer what an earlier life of the cluster, or another server, has had. */
const isPassing = (error: unknown): boolean =>
  /shared memory block|lock file|could not bind|Address already in use/.test(String(error))
const patienceMillis = 20_000

/** Whether a cluster runs, and where it listens: on the same port in all its lives. */
export class ClusterProcess {
  /** 0 before the first start. */
  port = 0
  postmaster: Postmaster | undefined
  private readonly place: ClusterPlace
  private readonly options: ClusterProcessOptions
  private settings: Settings

  constructor(place: ClusterPlace, options: ClusterProcessOptions) {
    this.place = place
    this.options = options
    this.settings = options.settings
  }

  async start(changed: Settings = {}): Promise<void> {
    if (this.postmaster !== undefined) throw new Error("This cluster runs already.")
    this.settings = { ...this.settings, ...changed }
    const started = await this.launch()
    const { directory, isTemporary } = this.place
    const release = this.options.isGuarded
      ? startGuard({ pid: started.pid, ...(isTemporary ? { temporaryDirectory: directory } : {}) })
      : undefined
    started.ended = started.exited.then(() => {
      release?.()
      if (this.postmaster === started) this.postmaster = undefined
    })
  }

  private async launch(): Promise<Postmaster> {
    const deadline = Date.now() + patienceMillis
    for (;;) {
      const port = this.port !== 0 ? this.port : await freePort(this.options.preferredPort)
      try {
        this.postmaster = await launch(this.place, { ...this.settings, port: String(port) })
        this.port = port
        return this.postmaster
      } catch (error) {
        if (!isPassing(error) || Date.now() > deadline) throw error
        await sleep(100)
      }
    }
  }
}
