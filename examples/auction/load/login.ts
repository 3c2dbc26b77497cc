/** What all clients of the load need. */

/** One clock for all processes of a machine, in ms. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export async function login(origin: string, name: string): Promise<{ readonly token: string; readonly url: string }> {
  const response = await fetch(`${origin}/login`, { method: 'POST', body: JSON.stringify({ name }) })
  if (!response.ok) throw new Error(`the back end refuses ${name}: ${await response.text()}`)
  return (await response.json()) as { token: string; url: string }
}
