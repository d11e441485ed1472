import { X509Certificate, createPrivateKey } from "node:crypto"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { Data, Effect } from "effect"
import { withDirectoryLock } from "./DirectoryLock.ts"
import { selfSignedCertificate } from "./SelfSignedCertificate.ts"

/** There is no certificate to serve HTTPS with. The message says why and what to do. */
class DevCertificateError extends Data.TaggedError("DevCertificateError")<{
  readonly message: string
}> {}

/** What `BATON_TLS_CERT_FILE` and `BATON_TLS_KEY_FILE` name otherwise. */
interface DevCertificate {
  readonly certFile: string
  readonly keyFile: string
}

const dayMillis = 86_400_000
/** Browsers refuse certificates that live for longer than 825 days. */
const lifeDays = 800
/** A certificate that is nearer to its end than this is replaced. */
const remainingDays = 30
const lockMillis = 10_000

/**
 * A self-signed certificate for `localhost`, kept in `tls/` below the directory so that a browser that was told to accept
 * it accepts it again after a restart. Made anew when it is missing, damaged, or about to expire. Several processes may
 * ask at once: they get the same one.
 */
export const devCertificate = (directory: string): Effect.Effect<DevCertificate, DevCertificateError> =>
  Effect.tryPromise({
    try: () => findOrMake(path.resolve(directory, "tls")),
    catch: (error) =>
      new DevCertificateError({
        message:
          `The certificate for --https cannot be kept in ${path.resolve(directory, "tls")}: ` +
          `${error instanceof Error ? error.message : String(error)}. Set BATON_DEV_DIR to a directory that can be ` +
          "written, or BATON_TLS_CERT_FILE and BATON_TLS_KEY_FILE to a certificate and key of your own."
      })
  })

const findOrMake = async (directory: string): Promise<DevCertificate> => {
  const files = { certFile: path.join(directory, "cert.pem"), keyFile: path.join(directory, "key.pem") }
  await mkdir(directory, { recursive: true, mode: 0o700 })
  return withDirectoryLock(path.join(directory, "lock"), lockMillis, async () => {
    if (await isUsable(files)) return files
    const now = Date.now()
    const made = selfSignedCertificate(new Date(now - dayMillis), new Date(now + lifeDays * dayMillis))
    // A process that ends in between leaves a pair that does not belong together, which the next start replaces.
    await replace(files.keyFile, made.privateKey)
    await replace(files.certFile, made.certificate)
    return files
  })
}

const isUsable = async ({ certFile, keyFile }: DevCertificate): Promise<boolean> => {
  try {
    const certificate = new X509Certificate(await readFile(certFile))
    const isOwn = certificate.checkPrivateKey(createPrivateKey(await readFile(keyFile)))
    return isOwn && Date.parse(certificate.validTo) - Date.now() > remainingDays * dayMillis
  } catch {
    return false
  }
}

const replace = async (file: string, content: string): Promise<void> => {
  await writeFile(`${file}.new`, content, { mode: 0o600 })
  await rename(`${file}.new`, file)
}
