import { example, installed, type Proxy, replaced, startProxy } from "./Proxy.ts"

export const haproxyPath = installed("haproxy")

/** The proxy of `docs/deploy` in front of two instances, with a line more for each replica. */
export const startHaproxyOf = (
  binary: string,
  instances: readonly [number, number],
  replicas: ReadonlyArray<number>
): Promise<Proxy> =>
  startProxy({
    name: "haproxy",
    binary,
    parameters: (file) => ["-db", "-f", file],
    configuration: ({ port }) => {
      let text = replaced(example("haproxy.cfg"), "bind :3000", `bind 127.0.0.1:${port}`)
      // There is no engine whose names have to be resolved.
      text = replaced(text, " resolvers engine init-addr none", "")
      text = text.replace(/^resolvers engine\n(?: .*\n)+/m, "")
      const [first, second] = instances
      text = replaced(text, "baton-1:3000", `127.0.0.1:${first}`)
      const more = replicas.map((replica, i) => `server replica-${i + 1} 127.0.0.1:${replica}`)
      return replaced(text, "baton-2:3000", [`127.0.0.1:${second}`, ...more].join("\n    "))
    }
  })
