// Proves a Gazette from what get_edition answers of it, and nothing else (RULES 15.3). Copy this file, or import it;
// gazette.d.ts types it. It runs in browsers and in Node, and answers as verify_gazette does.
//
// An item's digest is the SHA-256 of its salt and its content; an edition's that of its community, number, day, the
// digest before it and its items' digests, each on a line of its own. An item that was taken out is vouched for by its
// digest alone; whether it had to go, only the house knows.

// editions: from number 1 on, in a list or as they arrive.
export async function prove(community_id, editions) {
  let number = 0
  let head = null
  let taken_out = 0
  const broken = (why, position = null) => ({ holds: false, editions: number - 1, taken_out, head, first_break: { number, position, why } })
  for await (const edition of editions) {
    number += 1
    if (edition.number !== number) return broken('edition_missing')
    for (const [index, item] of edition.items.entries()) {
      if (item.position !== index + 1) return broken('item_missing', index + 1)
      if (item.content === null) taken_out += 1
      else if (await sha256(item.salt + item.content) !== item.digest) return broken('item_changed', item.position)
    }
    const lines = [community_id, number, edition.day, head ?? '', ...edition.items.map((item) => item.digest)]
    const digest = await sha256(lines.join('\n'))
    if (edition.previous_digest !== head || edition.digest !== digest) return broken('edition_changed')
    head = digest
  }
  return { holds: true, editions: number, taken_out, head, first_break: null }
}

async function sha256(text) {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
