import { parseYaml, type Yaml } from "../support/PlainYaml.ts"
import { bucketExamples } from "./bucketExamples.ts"
import {
  at,
  checkWorkload,
  type Expect,
  type Image,
  list,
  read,
  seconds,
  secrets,
  text,
  type Workload
} from "./Example.ts"

/** Everything that is wrong with the examples, one line each. */
export const checkExamples = (image: Image): ReadonlyArray<string> => {
  const problems: Array<string> = []
  for (const [name, check] of [
    ["compose.yaml", compose],
    ["kubernetes.yaml", kubernetes],
    ["ecs", ecs],
    ...bucketExamples
  ] as const) {
    try {
      const expect: Expect = (what, actual, wanted) => {
        const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)]
        if (a !== b) problems.push(`${name}: ${what} is ${a}, not ${b}`)
      }
      for (const workload of check(expect, image)) checkWorkload(workload, image, problems)
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return problems
}

const compose = (expect: Expect): ReadonlyArray<Workload> => {
  const [document = null] = parseYaml(read("compose.yaml"))
  const services = at(document, "services")
  expect("baton-2", at(services, "baton-2"), at(services, "baton-1"))
  const instance = at(services, "baton-1")
  const haproxy = read("haproxy.cfg")
  for (const [backend, status] of [
    ["active", "200"],
    ["able", "200-299"]
  ] as const) {
    const section = haproxy.split(/^(?=\S)/m).find((part) => part.startsWith(`backend ${backend}\n`)) ?? ""
    expect(`check of ${backend}`, /httpchk (.*)/.exec(section)?.[1], "GET /v1/health")
    expect(`status for ${backend}`, /expect status (.*)/.exec(section)?.[1], status)
    const servers = Array.from(section.matchAll(/server \S+ (\S+)/g), ([, server]) => server ?? "")
    expect(`servers of ${backend}`, servers, ["baton-1:3000", "baton-2:3000"])
  }
  expect("port of the proxy", at(services, "proxy", "ports"), ["3000:3000"])
  expect("where it listens", /bind :(\d+)/.exec(haproxy)?.[1], "3000")
  const [volume = "", mount = ""] = text(at(instance, "volumes", 0)).split(":")
  at(document, "volumes", volume)
  const environment = at(instance, "environment") as Readonly<Record<string, string>>
  return [
    {
      name: "compose.yaml",
      environment,
      graceSeconds: seconds(at(instance, "stop_grace_period")),
      storageMount: mount,
      port: 3000
    }
  ]
}

const kubernetes = (expect: Expect): ReadonlyArray<Workload> => {
  const documents = parseYaml(read("kubernetes.yaml"))
  const kind = (name: string): Yaml => documents.find((document) => at(document, "kind") === name) ?? null
  const deployment = kind("Deployment")
  const pod = at(deployment, "spec", "template", "spec")
  const container = at(pod, "containers", 0)
  const labels = at(deployment, "spec", "template", "metadata", "labels")
  expect("maxSurge", at(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), 1)
  expect("maxUnavailable", at(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable"), 0)
  expect("the Deployment's selector", at(deployment, "spec", "selector", "matchLabels"), labels)
  expect("the Service's selector", at(kind("Service"), "spec", "selector"), labels)
  const affinity = at(
    pod,
    "affinity",
    "podAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    0,
    "labelSelector"
  )
  expect("the affinity's selector", at(affinity, "matchLabels"), labels)
  // 2xx is ready, 202 included: otherwise a rollout never ends. 503 must not count as dead.
  expect("readiness", at(container, "readinessProbe", "httpGet", "path"), "/v1/health")
  expect("liveness", at(container, "livenessProbe", "httpGet", "path"), "/")
  const ports = at(container, "ports", 0)
  expect("the Service's target", at(kind("Service"), "spec", "ports", 0, "targetPort"), at(ports, "name"))
  const volume = at(pod, "volumes", 0)
  expect("the mounted volume", at(container, "volumeMounts", 0, "name"), at(volume, "name"))
  expect(
    "the claim",
    at(volume, "persistentVolumeClaim", "claimName"),
    at(kind("PersistentVolumeClaim"), "metadata", "name")
  )
  const pause = list(at(container, "lifecycle", "preStop", "exec", "command"))
  expect("the pause before SIGTERM", pause[0], "sleep")
  const environment = Object.fromEntries(
    list(at(container, "env")).map((entry) => {
      const name = text(at(entry, "name"))
      const value = (entry as Readonly<Record<string, Yaml>>)["value"]
      return [name, value === undefined ? (secrets[name] ?? "") : text(value)]
    })
  )
  return [
    {
      name: "kubernetes.yaml",
      environment,
      graceSeconds: Number(at(pod, "terminationGracePeriodSeconds")) - Number(pause[1]),
      storageMount: text(at(container, "volumeMounts", 0, "mountPath")),
      port: Number(at(ports, "containerPort"))
    }
  ]
}

const ecs = (expect: Expect, image: Image): ReadonlyArray<Workload> => {
  const task = JSON.parse(read("ecs-task-definition.json")) as Yaml
  const service = JSON.parse(read("ecs-service.json")) as Yaml
  const target = JSON.parse(read("ecs-target-group.json")) as Yaml
  const container = at(task, "containerDefinitions", 0)
  expect("minimumHealthyPercent", at(service, "deploymentConfiguration", "minimumHealthyPercent"), 100)
  expect("maximumPercent", at(service, "deploymentConfiguration", "maximumPercent"), 200)
  expect("desiredCount", at(service, "desiredCount"), 1)
  expect("health check", at(container, "healthCheck", "command"), ["CMD", ...image.healthcheck])
  expect("health path", at(target, "HealthCheckPath"), "/v1/health")
  expect("healthy statuses", at(target, "Matcher", "HttpCode"), "200-299")
  expect("the service's task", at(service, "taskDefinition"), at(task, "family"))
  const balancer = at(service, "loadBalancers", 0)
  expect("the balanced container", at(balancer, "containerName"), at(container, "name"))
  expect(
    "the balanced port",
    at(balancer, "containerPort"),
    at(container, "portMappings", 0, "containerPort")
  )
  expect(
    "the mounted volume",
    at(container, "mountPoints", 0, "sourceVolume"),
    at(task, "volumes", 0, "name")
  )
  const pairs = list(at(container, "environment")).map((entry) => [
    text(at(entry, "name")),
    text(at(entry, "value"))
  ])
  const hidden = list(at(container, "secrets")).map((entry) => {
    const name = text(at(entry, "name"))
    return [name, secrets[name] ?? ""]
  })
  return [
    {
      name: "ecs-task-definition.json",
      environment: Object.fromEntries([...pairs, ...hidden]) as Readonly<Record<string, string>>,
      graceSeconds: Number(at(container, "stopTimeout")),
      storageMount: text(at(container, "mountPoints", 0, "containerPath")),
      port: Number(at(container, "portMappings", 0, "containerPort"))
    }
  ]
}
