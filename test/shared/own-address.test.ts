import type { NetworkInterfaceInfo } from "node:os"
import { assert, it } from "vitest"
import { ownAddressOf } from "../../src/shared/OwnAddress.ts"

const at = (address: string, internal = false): NetworkInterfaceInfo => ({
  address,
  internal,
  family: address.includes(":") ? "IPv6" : "IPv4",
  netmask: "",
  mac: "",
  cidr: null,
  scopeid: 0
})

it.each([
  ["nothing", {}, undefined],
  ["a loopback only", { lo: [at("127.0.0.1", true)] }, undefined],
  ["IPv6 only", { eth0: [at("fdaa::1")] }, undefined],
  ["a container", { lo: [at("127.0.0.1", true)], eth0: [at("fd00::2"), at("172.18.0.3")] }, "172.18.0.3"],
  [
    "a task of Fargate",
    { lo: [at("127.0.0.1", true)], eth0: [at("169.254.172.2")], eth1: [at("10.0.1.7")] },
    "10.0.1.7"
  ]
])("the address at which others reach %s", (_, interfaces, address) => {
  assert.strictEqual(ownAddressOf(interfaces), address)
})
