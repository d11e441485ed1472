/**
 * Is told of what happens, one by one, by those who count it: for receivers that count by themselves. Only set where there is
 * one.
 */
export interface MetricEvents {
  /** A request for a shape is answered. */
  readonly answered: (status: number, knownError: boolean, live: boolean, empty: boolean) => void
  /** The same, with what is known of those that did not wait. */
  readonly served: (about: ServedAnswer) => void
  /** A transaction has arrived. */
  readonly received: (operations: number, lagMillis: number) => void
  /** One that changes shapes is durable. */
  readonly stored: (operations: number, bytes: number, lagMillis: number) => void
  /** The first rows of a shape are read. */
  readonly snapshot: (millis: number) => void
  /** This instance has become active. */
  readonly active: (millis: number, shapes: number) => void
}

/** An answer as it goes to its connection. */
export interface ServedAnswer {
  readonly status: number
  readonly live: boolean
  /** From its arrival; of live ones the wait is in it. */
  readonly millis: number
  /** Of its body, where that is known. */
  readonly bytes: number | undefined
  readonly table: string | undefined
}
