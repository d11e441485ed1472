import { Effect } from "effect"
import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { faultEnded, reportFault } from "../telemetry/faults/ReportFault.ts"

const about = "turn"

/** What an operator was told of the last turns and is not over: a fault lasts until a turn gets past the place where it was met. */
export class TurnFaults {
  private readonly lasting = new Map<FaultCode, { readonly unreachable: boolean }>()

  /** `unreachable`: a connection is all that it takes; otherwise it is over when the instance is active. */
  tell(code: FaultCode, message: string, unreachable: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      // One takes the place of the other where a database that was away lets nobody in.
      const others = [...this.lasting.keys()].filter((known) => known !== code)
      this.lasting.set(code, { unreachable })
      return Effect.andThen(this.over(others, true), reportFault(code, { message, about }))
    })
  }

  /** The database was reached. */
  readonly connected: Effect.Effect<void> = Effect.suspend(() =>
    this.over([...this.lasting].filter(([, { unreachable }]) => unreachable).map(([code]) => code))
  )

  /** The instance streams. */
  readonly active: Effect.Effect<void> = Effect.suspend(() => this.over([...this.lasting.keys()]))

  private over(codes: ReadonlyArray<FaultCode>, quietly = false): Effect.Effect<void> {
    return Effect.forEach(
      codes,
      (code) => {
        this.lasting.delete(code)
        return faultEnded(code, { about, quietly })
      },
      { discard: true }
    )
  }
}
