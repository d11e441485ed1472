/** Clients of this process that do not take what they are sent as fast as it is sent. */
export class SlowReaders {
  /** Responses of which a piece waits for its client at the moment. */
  waiting = 0
  /** Connections that were cut because their client took nothing for `ELECTRIC_TCP_SEND_TIMEOUT`. */
  cut = 0
}
