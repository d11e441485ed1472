import type { NetworkInterfaceInfo } from "node:os"
import { assert, it } from "vitest"
import { ownUrlOf } from "../../src/shared/OwnAddress.ts"

const at = (address: string, internal = false): NetworkInterfaceInfo => ({
  address,
  internal,
  family: address.includes(":") ? "IPv6" : "IPv4",
  netmask: "",
  mac: "",
  cidr: null,
  scopeid: 0
})

const plain = { port: 3000, isSecure: false }
const container = { lo: [at("127.0.0.1", true)], eth0: [at("fd00::2"), at("172.18.0.3")] }
const fargate = { lo: [at("127.0.0.1", true)], eth0: [at("169.254.172.2")], eth1: [at("10.0.1.7")] }

it.each([
  ["in a container", plain, container, "http://172.18.0.3:3000"],
  ["in a task of Fargate", plain, fargate, "http://10.0.1.7:3000"],
  ["with a certificate", { port: 443, isSecure: true }, container, "https://172.18.0.3:443"],
  ["without a network", plain, {}, "http://127.0.0.1:3000"],
  ["with a loopback only", plain, { lo: [at("127.0.0.1", true)] }, "http://127.0.0.1:3000"],
  ["with IPv6 only", plain, { eth0: [at("fdaa::1")] }, "http://127.0.0.1:3000"],
  ["on a port that the system is to choose", { port: 0, isSecure: false }, container, undefined]
])("the URL at which others reach an instance %s", (_, listening, interfaces, url) => {
  assert.strictEqual(ownUrlOf(listening, interfaces), url)
})
