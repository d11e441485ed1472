import type { Timers } from "../../shared/Timers.ts"
import { idleSessionMillis } from "../RegistryTimings.ts"

/** Sessions that nobody uses now, for those who need one next. Each is closed when it has been idle for a minute. */
export class IdleSessions<Session extends { readonly close: () => void }> {
  private readonly timers: Timers
  /** With what stops its timer; the one used last is the last one. */
  private readonly idle = new Map<Session, () => void>()
  private isClosed = false

  constructor(timers: Timers) {
    this.timers = timers
  }

  /** The one used last: the others get a chance to become old enough to be closed. */
  take(): Session | undefined {
    const session = [...this.idle.keys()].at(-1)
    if (session !== undefined) this.forget(session)
    return session
  }

  keep(session: Session): void {
    if (this.isClosed) return session.close()
    const close = () => {
      this.forget(session)
      session.close()
    }
    this.idle.set(session, this.timers.after(idleSessionMillis, close, "aside"))
  }

  /** It is lost, and nobody is to be given it. */
  forget(session: Session): void {
    this.idle.get(session)?.()
    this.idle.delete(session)
  }

  /** Those that are given back from now on are closed as well. */
  close(): void {
    this.isClosed = true
    for (const session of this.idle.keys()) {
      this.forget(session)
      session.close()
    }
  }
}
