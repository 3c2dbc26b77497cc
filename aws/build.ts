/**
 * Packs the custom authorizer into one file. Run as a program it writes `dist/aws/authorizer.mjs`, the form of it that stands
 * in CloudFormation's template, and the Terraform module.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const folder = fileURLToPath(new URL('.', import.meta.url))

export async function buildAuthorizer(format: 'esm' | 'cjs' = 'esm'): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: ['authorizer.ts'],
    absWorkingDir: folder,
    outfile: 'authorizer.mjs',
    bundle: true,
    format,
    platform: 'node',
    // The oldest that Lambda still takes.
    target: 'node20',
    minify: true,
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  })
  const [file] = outputFiles
  if (!file) throw new Error('esbuild made no file')
  return file.contents
}

/** As `index.js` of a function, small enough to stand in a template of CloudFormation, which may have 51,200 bytes in all. */
export async function buildInlineAuthorizer(): Promise<string> {
  const packed = gzipSync(await buildAuthorizer('cjs'), { level: 9 }).toString('base64')
  return [
    `const code = require('node:zlib').gunzipSync(Buffer.from('${packed}', 'base64')).toString()`,
    "new Function('module', 'exports', 'require', code)(module, exports, require)",
    '',
  ].join('\n')
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const target = join(folder, '../dist/aws')
  await mkdir(target, { recursive: true })
  await writeFile(join(target, 'authorizer.mjs'), await buildAuthorizer())
  await writeFile(join(target, 'authorizer-inline.js'), await buildInlineAuthorizer())
  await cp(join(folder, 'terraform'), join(target, 'terraform'), { recursive: true })
}
