import type { NetworkInterfaceInfo } from "node:os"

/** What `networkInterfaces` of `node:os` gives. */
type Interfaces = Readonly<Record<string, ReadonlyArray<NetworkInterfaceInfo> | undefined>>

/** IPv4 that no router passes on (RFC 3927). Fargate gives each task such an address, before the one that others reach. */
const isLinkLocal = (address: string): boolean => address.startsWith("169.254.")

/** The first IPv4 address at which other machines may reach this one, if there is any. */
const ownAddressOf = (interfaces: Interfaces): string | undefined =>
  Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .find(({ address, family, internal }) => family === "IPv4" && !internal && !isLinkLocal(address))?.address

/**
 * Where other machines may reach what listens here on a port, unless an operator knows better. Nowhere while the system is still to choose
 * the port (0). Without an address that others reach it is the loopback, for others on this machine.
 */
export const ownUrlOf = (
  { isSecure, port }: { readonly isSecure: boolean; readonly port: number },
  interfaces: Interfaces
): string | undefined =>
  port === 0
    ? undefined
    : `${isSecure ? "https" : "http"}://${ownAddressOf(interfaces) ?? "127.0.0.1"}:${port}`
