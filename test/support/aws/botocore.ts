/** Python's signer of AWS, in a virtual environment that stays. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { botocore, install, programOf } from '../venv.ts'

const run = promisify(execFile)

/** Installs it; returns what was in the way. */
export async function installBotocore(): Promise<string | undefined> {
  return await install(botocore)
}

export interface SignRequest {
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  /** `yyyymmddThhmmssZ`. */
  readonly time: string
  readonly expiresInS: number
}

/** `clock(time)`: what botocore takes for now. Its releases ask for that in two ways. */
const clock = `
import datetime, json, sys
from urllib.parse import quote
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
def clock(time):
    at = datetime.datetime.strptime(time, '%Y%m%dT%H%M%SZ')
    class Clock(datetime.datetime):
        @classmethod
        def utcnow(cls): return at
        @classmethod
        def now(cls, tz=None): return at.replace(tzinfo=tz)
    if hasattr(botocore.auth, 'get_current_datetime'): botocore.auth.get_current_datetime = lambda remove_tzinfo=True: at
    else: botocore.auth.datetime.datetime = Clock
`

/** The URLs that botocore signs for a GET of `/mqtt`, the session token behind the signature. */
export async function signedByBotocore(requests: readonly SignRequest[]): Promise<string[]> {
  const program = `${clock}
urls = []
for asked in json.loads(sys.argv[1]):
    clock(asked['time'])
    signer = botocore.auth.SigV4QueryAuth(Credentials(asked['accessKeyId'], asked['secretAccessKey']), 'iotdevicegateway', asked['region'], expires=asked['expiresInS'])
    request = AWSRequest('GET', 'wss://' + asked['endpoint'] + '/mqtt')
    signer.add_auth(request)
    urls.append(request.url + '&X-Amz-Security-Token=' + quote(asked['sessionToken'], safe=''))
print(json.dumps(urls))`
  const { stdout } = await run(programOf(botocore, 'python'), ['-c', program, JSON.stringify(requests)], { maxBuffer: 16 * 1024 * 1024 })
  return JSON.parse(stdout) as string[]
}

/** What botocore authorizes the DELETE of a path by, which is encoded already. */
export async function deletionByBotocore(asked: Omit<SignRequest, 'expiresInS'> & { readonly path: string }): Promise<string> {
  const program = `${clock}
asked = json.loads(sys.argv[1])
clock(asked['time'])
signer = botocore.auth.SigV4Auth(Credentials(asked['accessKeyId'], asked['secretAccessKey'], asked['sessionToken'] or None), 'iotdata', asked['region'])
request = AWSRequest('DELETE', 'https://' + asked['endpoint'] + asked['path'])
signer.add_auth(request)
print(request.headers['Authorization'])`
  return (await run(programOf(botocore, 'python'), ['-c', program, JSON.stringify(asked)])).stdout.trim()
}
