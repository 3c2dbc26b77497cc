import { testServer } from '/work/main/test/support/server.ts'
import { tidemark } from '/work/main/test/cli/run.ts'
it('x', async function () { this.timeout(60000)
 const server = await testServer({})
 const t = await server.token('alice')
 console.log(await tidemark(['pub','users/alice/a/1','-m','hello you','--url',server.urls.mqtt,'--token',t]))
 console.log(await tidemark(['history','users/alice','--topic','a/#','--url',server.urls.http,'--token',t]))
 console.log(await tidemark(['sub','users/alice/a/#','--from','earliest','--count','1','--url',server.urls.ws,'--token',t]))
 console.log(await tidemark(['pub','users/bob/a/1','-m','hello you','--url',server.urls.mqtt,'--token',t]))
 await server.stop()
})
