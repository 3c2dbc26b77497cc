/**
 * moto as a server: a control plane that makes what CloudFormation describes, as far as it knows it. It checks no signatures,
 * no permissions and no policy of AWS IoT Core, knows no authorizers, rules or alarms in stacks, and delivers nothing: what it lets
 * pass proves nothing about that.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { freePorts } from '../server.ts'
import { tempFolder } from '../temp.ts'
import { moto, programOf } from '../venv.ts'

export interface Moto {
  readonly url: string
  /** What the SDK is led by to it. */
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

/** Resolves when it answers; it must be installed. */
export async function startMoto(): Promise<Moto> {
  const [port] = (await freePorts(1)) as [number]
  const child = spawn(programOf(moto, 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], {
    cwd: await tempFolder(),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (/Running on/.test(said)) resolve()
    })
    child.once('exit', () => reject(new Error(`moto ended: ${said}`)))
    child.once('error', reject)
  })
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: 'AKIAMOTO',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    },
    async close() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
