import * as path from "node:path"
import { example, installed, type Proxy, replaced, startProxy } from "./Proxy.ts"

export const nginxPath = installed("nginx")

const listening = (text: string, port: number): string =>
  replaced(text, "listen 80;", `listen 127.0.0.1:${port} backlog=4096;`)

/** For a process that is not the system's nginx, and writes nowhere but to its own directory. */
const ownPlace = (text: string, home: string): string => {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${path.join(home, name)};`)
    .join("\n")
  const user = process.getuid?.() === 0 ? "user root;\n" : ""
  const main = `daemon off;\npid ${path.join(home, "pid")};\nerror_log stderr warn;\n${user}`
  return main + replaced(text, "http {", `http {\naccess_log off;\n${temporary}`)
}

const parameters = (file: string, home: string) => ["-p", home, "-c", file, "-e", "stderr"]

/** The caching proxy of `docs/deploy`, with nothing changed but where things are. */
export const startNginx = (binary: string, servicePort: number): Promise<Proxy> =>
  startProxy({
    name: "nginx",
    binary,
    parameters,
    configuration: ({ port, home }) => {
      let text = replaced(example("nginx.conf"), "server baton:3000;", `server 127.0.0.1:${servicePort};`)
      text = replaced(text, "/var/cache/nginx/baton", path.join(home, "cache"))
      return ownPlace(listening(text, port), home)
    }
  })

/** The proxy of `docs/deploy/bucket` in front of two instances and any number of replicas. */
export const startNginxOf = (
  binary: string,
  instances: readonly [number, number],
  replicas: ReadonlyArray<number>
): Promise<Proxy> =>
  startProxy({
    name: "nginx",
    binary,
    parameters,
    configuration: ({ port, home }) => {
      let text = replaced(example("bucket/nginx.conf"), "resolver 127.0.0.11 valid=2s;", "")
      // Older releases than the configuration is for do not know `resolve`, which addresses do not need.
      text = replaced(text, " resolve max_fails", " max_fails")
      for (const [i, instance] of instances.entries())
        text = replaced(text, `server baton-${i + 1}:3000 `, `server 127.0.0.1:${instance} `)
      const lines = replicas.map((replica) => `server 127.0.0.1:${replica} max_fails=0;`).join("\n")
      text = replaced(text, "server replica:3000 max_fails=0;", lines)
      return ownPlace(listening(text, port), home)
    }
  })
