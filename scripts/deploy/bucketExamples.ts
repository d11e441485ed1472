import { parseToml } from "../support/PlainToml.ts"
import { parseYaml, type Yaml } from "../support/PlainYaml.ts"
import { readDockerfile } from "./Dockerfile.ts"
import {
  at,
  directory,
  type Expect,
  type Image,
  list,
  read,
  seconds,
  secrets,
  text,
  type Workload
} from "./Example.ts"
import * as path from "node:path"

type Environment = Readonly<Record<string, string>>

/** What `environment` has over that of an instance is that it is a replica. */
const expectReplica = (expect: Expect, environment: Yaml, instance: Yaml): void => {
  const sorted = (value: Yaml) =>
    Object.entries(value as Environment).toSorted(([a], [b]) => (a < b ? -1 : 1))
  expect(
    "the environment of a replica",
    sorted(environment),
    sorted({ ...(instance as Environment), BATON_ROLE: "replica" })
  )
}

const compose = (expect: Expect): ReadonlyArray<Workload> => {
  const [document = null] = parseYaml(read("bucket/compose.yaml"))
  const services = at(document, "services")
  expect("baton-2", at(services, "baton-2"), at(services, "baton-1"))
  const environment = at(services, "baton-1", "environment") as Environment
  expectReplica(expect, at(services, "replica", "environment"), environment)
  const nginx = read("bucket/nginx.conf")
  for (const group of ["all", "makers"]) {
    const section = new RegExp(`upstream ${group} {([^}]*)}`).exec(nginx)?.[1] ?? ""
    const servers = Array.from(section.matchAll(/server (\S+)/g), ([, server]) => server ?? "")
    expect(`servers of ${group}`, servers.toSorted(), ["baton-1:3000", "baton-2:3000", "replica:3000"])
  }
  expect("port of the proxy", at(services, "proxy", "ports"), ["3000:80"])
  expect("where it listens", /listen (\d+)/.exec(nginx)?.[1], "80")
  expect(
    "the store's user",
    at(services, "minio", "environment", "MINIO_ROOT_USER"),
    at(environment, "AWS_ACCESS_KEY_ID")
  )
  const secret = at(environment, "AWS_SECRET_ACCESS_KEY")
  expect("the store's password", at(services, "minio", "environment", "MINIO_ROOT_PASSWORD"), secret)
  const bucket = /^s3:\/\/([^/]+)/.exec(text(at(environment, "BATON_BUCKET")))?.[1] ?? ""
  expect(
    "the bucket that is made",
    list(at(services, "bucket", "entrypoint")).at(-1) ?? null,
    `store/${bucket}`
  )
  return ["baton-1", "replica"].map((name) => ({
    name: `bucket/compose.yaml, ${name}`,
    environment: at(services, name, "environment") as Environment,
    graceSeconds: seconds(at(services, name, "stop_grace_period")),
    storageMount: undefined,
    port: 3000
  }))
}

/** Values of containers, with what Kubernetes puts in where others are named. */
const environmentOf = (entries: Yaml): Environment => {
  const found: Record<string, string> = {}
  for (const entry of list(entries)) {
    const name = text(at(entry, "name"))
    const value = (entry as Readonly<Record<string, Yaml>>)["value"]
    found[name] =
      value === undefined
        ? (secrets[name] ?? "")
        : text(value).replaceAll(/\$\((\w+)\)/g, (whole, other: string) => found[other] ?? whole)
  }
  delete found["POD_IP"]
  return found
}

const containerOf = (deployment: Yaml): Yaml => at(deployment, "spec", "template", "spec", "containers", 0)

const kubernetes = (expect: Expect): ReadonlyArray<Workload> => {
  const documents = parseYaml(read("bucket/kubernetes.yaml"))
  const of = (kind: string) => documents.filter((document) => at(document, "kind") === kind)
  const [instances = null, replicas = null] = of("Deployment")
  const [service = null] = of("Service")
  const environments = [instances, replicas].map((each) => environmentOf(at(containerOf(each), "env")))
  expectReplica(expect, environments[1] ?? null, environments[0] ?? null)
  expect(
    "the Service's selector",
    at(service, "spec", "selector"),
    at(replicas, "spec", "selector", "matchLabels")
  )
  return [instances, replicas].map((deployment, i) => {
    const name = text(at(deployment, "metadata", "name"))
    const pod = at(deployment, "spec", "template", "spec")
    const container = containerOf(deployment)
    const labels = at(deployment, "spec", "template", "metadata", "labels")
    expect(`maxSurge of ${name}`, at(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), 1)
    expect(
      `maxUnavailable of ${name}`,
      at(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable"),
      0
    )
    expect(`the selector of ${name}`, at(deployment, "spec", "selector", "matchLabels"), labels)
    const spread = at(pod, "topologySpreadConstraints", 0, "labelSelector", "matchLabels")
    expect(`what is spread of ${name}`, spread, labels)
    expect(`readiness of ${name}`, at(container, "readinessProbe", "httpGet", "path"), "/v1/health")
    expect(`liveness of ${name}`, at(container, "livenessProbe", "httpGet", "path"), "/")
    expect(
      "the Service's target",
      at(service, "spec", "ports", 0, "targetPort"),
      at(container, "ports", 0, "name")
    )
    // Nobody keeps it.
    at(pod, "volumes", 0, "emptyDir")
    const environment = environments[i] ?? {}
    expect(`where ${name} is reached`, environment["BATON_ADVERTISE_URL"], `http://${secrets["POD_IP"]}:3000`)
    expect(
      `what ${name} mounts`,
      at(container, "volumeMounts", 0, "mountPath"),
      environment["ELECTRIC_STORAGE_DIR"] ?? ""
    )
    const pause = list(at(container, "lifecycle", "preStop", "exec", "command"))
    return {
      name: `bucket/kubernetes.yaml, ${name}`,
      environment,
      graceSeconds: Number(at(pod, "terminationGracePeriodSeconds")) - Number(pause[1]),
      storageMount: undefined,
      port: Number(at(container, "ports", 0, "containerPort"))
    }
  })
}

/** The task of `docs/deploy` without its volume, and with a bucket. */
const ecs = (expect: Expect, image: Image): ReadonlyArray<Workload> => {
  const task = JSON.parse(read("bucket/ecs-task-definition.json")) as Yaml
  const usual = JSON.parse(read("ecs-task-definition.json")) as Yaml
  const container = at(task, "containerDefinitions", 0)
  expect("the family", at(task, "family"), at(usual, "family"))
  expect("the port", at(container, "portMappings"), at(usual, "containerDefinitions", 0, "portMappings"))
  expect("health check", at(container, "healthCheck", "command"), ["CMD", ...image.healthcheck])
  const pairs = [...list(at(container, "environment")), ...list(at(container, "secrets"))].map((entry) => {
    const name = text(at(entry, "name"))
    const { value } = entry as { readonly value?: string }
    return [name, value ?? secrets[name] ?? ""] as const
  })
  const parts = readDockerfile(path.join(directory, "bucket/Dockerfile"))
  const installs = parts.some(({ text: command }) => command.includes("@aws-sdk/credential-providers"))
  expect("that the image finds the keys of the task's role", installs, true)
  at(task, "taskRoleArn")
  return [
    {
      name: "bucket/ecs-task-definition.json",
      environment: Object.fromEntries(pairs),
      graceSeconds: Number(at(container, "stopTimeout")),
      storageMount: undefined,
      port: Number(at(container, "portMappings", 0, "containerPort"))
    }
  ]
}

const fly = (expect: Expect, image: Image): ReadonlyArray<Workload> => {
  const toml = parseToml(read("bucket/fly.toml")) as Yaml
  expect("the signal", at(toml, "kill_signal"), "SIGTERM")
  expect("the strategy", at(toml, "deploy", "strategy"), "bluegreen")
  const [shell, option, script, ...rest] = list(at(toml, "experimental", "entrypoint")).map(text)
  expect("what runs the script", [shell, option, ...rest].join(" "), "sh -c baton")
  expect("what it becomes", script?.split("; ").at(-1), `exec ${image.entrypoint.join(" ")}`)
  const service = at(toml, "http_service")
  expect("who has the service", at(service, "processes"), ["replica"])
  expect("health path", at(service, "checks", 0, "path"), "/v1/health")
  const check = at(toml, "checks", "instance")
  expect("what is checked", at(check, "processes"), ["instance"])
  expect("health path of instances", at(check, "path"), "/v1/health")
  expect("health port of instances", at(check, "port"), at(service, "internal_port"))
  const given = at(toml, "env") as Environment
  expect("whether it listens on IPv6", given["ELECTRIC_LISTEN_ON_IPV6"], "true")
  return Object.entries(at(toml, "processes") as Environment).map(([name, role]) => ({
    name: `bucket/fly.toml, ${name}`,
    environment: {
      ...given,
      DATABASE_URL: secrets["DATABASE_URL"] ?? "",
      ELECTRIC_SECRET: "secret",
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "its secret",
      BATON_ROLE: role,
      BATON_ADVERTISE_URL: "http://[fdaa::7]:3000"
    },
    graceSeconds: seconds(at(toml, "kill_timeout")),
    storageMount: undefined,
    port: Number(at(service, "internal_port"))
  }))
}

/** Examples of instances that share a bucket and no volume. */
export const bucketExamples = [
  ["bucket/compose.yaml", compose],
  ["bucket/kubernetes.yaml", kubernetes],
  ["bucket/ecs", ecs],
  ["bucket/fly.toml", fly]
] as const
