import { type ChildProcess, spawn } from "node:child_process"
import { Socket } from "node:net"

interface GuardOptions {
  /** Postmaster that must not outlive its last user. */
  readonly pid: number
  /** Removed once Postgres has ended. */
  readonly temporaryDirectory?: string
  /**
   * The directory that holds a file `<process id>-...` for each process that uses Postgres, and ours: Postgres is stopped
   * only when no other of them lives.
   */
  readonly users?: { readonly directory: string; readonly own: string }
}

/** Stands down: the owner has ended Postgres itself, or left it to others. */
export type Release = () => void

/**
 * Ends Postgres when this process is gone, however it went: a shell beside it waits for the end of a pipe that only this
 * process holds open, and no signal can prevent the system from closing that.
 */
export const startGuard = (options: GuardOptions): Release => {
  const { pid } = options
  const script = [
    "read line && exit 0",
    ...(options.users === undefined
      ? []
      : [
          'rm -f "$2/$3"',
          'for user in "$2"/*; do user="${user##*/}"; kill -0 "${user%%-*}" && exit 0; done'
        ]),
    // Temporary data needs no checkpoint.
    `kill -CONT ${pid}; kill -${options.temporaryDirectory === undefined ? "INT" : "QUIT"} ${pid}`,
    `i=0; while [ $i -lt 50 ] && kill -0 ${pid}; do sleep 0.1; i=$((i + 1)); done`,
    `kill -QUIT ${pid}`,
    ...(options.temporaryDirectory === undefined ? [] : [`sleep 0.1; kill -9 ${pid}; rm -rf "$1"`])
  ].join("\n")
  const child: ChildProcess = spawn(
    "sh",
    [
      "-c",
      script,
      "baton-postgres-guard",
      options.temporaryDirectory ?? "",
      options.users?.directory ?? "",
      options.users?.own ?? ""
    ],
    { cwd: "/", stdio: ["pipe", "ignore", "ignore"], detached: true }
  )
  child.on("error", () => {})
  child.stdin?.on("error", () => {})
  child.unref()
  // The pipe must not keep this process alive either.
  if (child.stdin instanceof Socket) child.stdin.unref()
  return () => child.stdin?.end("stand down\n")
}
