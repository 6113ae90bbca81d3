// Recomputes a Gazette from what get_edition answers of it, and nothing else (RULES 15.3): JSON on the standard input,
// {community_id, editions: [edition, …]} from number 1 on; the digest of the last, or what does not hold, on the output.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const sha256 = (text) => createHash('sha256').update(text, 'utf8').digest('hex')

const { community_id, editions } = JSON.parse(readFileSync(0, 'utf8'))
let head = ''
let number = 0
const fails = (why) => {
  console.log(`${number}: ${why}`)
  process.exit(1)
}

for (const edition of editions) {
  number += 1
  if (edition.number !== number) fails('missing')
  if ((edition.previous_digest ?? '') !== head) fails('previous digest')
  for (const [index, item] of edition.items.entries()) {
    if (item.position !== index + 1) fails('position')
    // What was taken out is vouched for by its digest alone.
    if (item.content !== null && sha256(item.salt + item.content) !== item.digest) fails(`item ${item.position}`)
  }
  const digests = edition.items.map((item) => item.digest)
  head = sha256([community_id, number, edition.day, head, ...digests].join('\n'))
  if (head !== edition.digest) fails('digest')
}
console.log(head)
