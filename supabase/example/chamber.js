// The Chamber: the newest lines at the foot, older ones above on request, new ones by themselves.
import { inside, isMe, once, rpc, state } from './house.js'
import { at, button, faint, fill, form, h } from './html.js'
import { declare, line, said } from './cards.js'

let lines = []
let older = false
let place, top
// Lines are asked for by one at a time: what arrives meanwhile is fetched by the next.
let asking = Promise.resolve()

export const chamber = {
  title: 'Chamber',

  async enter(room) {
    place = h('div', { id: 'lines' })
    top = h('div', {})
    room.append(top, place, h('div', { id: 'composer' },
      form('Say something', [{ name: 'content', label: 'Say something', type: 'textarea', rows: 1, required: true, maxlength: 2000 }], 'Send',
        async (given) => { await once('send_message', { ...inside(), ...given }); toFoot = true }),
      h('details', { 'data-act': 'Declare a joy' }, h('summary', {}, 'Declare a joy'), declare())))
    // Enter sends; Shift and Enter make a new line.
    const box = room.querySelector('textarea')
    box.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault()
        box.form.requestSubmit()
      }
    })
    const page = await rpc('list_messages', { ...inside(), page_size: 30 })
    lines = page.messages
    older = page.has_more
    draw()
    await seen()
  },

  // Whatever was heard or done: ask for what came after the last line one has.
  refresh(event = 'poll', ids = {}) {
    const here = state.here
    asking = asking.catch(() => {}).then(async () => {
      if (state.here !== here || !place.isConnected) return
      const changed = await changes(event, ids)
      const fresh = await newer()
      if (state.here !== here || !place.isConnected || !changed && !fresh.length) return
      const low = innerHeight + scrollY > document.body.scrollHeight - 150
      draw()
      if (low || toFoot) foot()
      toFoot = false
      announce(fresh)
      await seen()
    })
    return asking
  },

  foot,
}

let toFoot = false
function foot() {
  scrollTo(0, document.body.scrollHeight)
}

async function newer() {
  const fresh = []
  for (let more = true; more;) {
    const after_id = lines.at(-1)?.id ?? 0
    const page = await rpc('list_messages', { ...inside(), after_id, page_size: 100 })
    lines.push(...page.messages)
    fresh.push(...page.messages)
    more = page.has_more
  }
  return fresh
}

// A broadcast names what changed: the line, or the thing on its card. One's own act is heard as well.
async function changes(event, ids) {
  const stale = lines.filter((one) => event === 'done' ? isOpen(one)
    : one.id === ids.message_id
    || ids.declaration_id && one.declaration?.id === ids.declaration_id
    || ids.borrow_request_id && one.borrow_request?.id === ids.borrow_request_id
    || ids.proposal_id && one.tip_to_tip?.id === ids.proposal_id
    || event === 'message' && isOpen(one))
  const read = await Promise.all(stale.map((one) => rpc('get_message', { message_id: one.id })))
  for (const { message } of read) lines[lines.findIndex((one) => one.id === message.id)] = message
  return read.length > 0
}

// What an answer may just have closed: a system line tells of it, without saying which card it was.
const isOpen = (one) => one.borrow_request?.status === 'pending' || one.tip_to_tip?.status === 'active' || one.election?.status === 'active'

function draw() {
  fill(top, older ? button('Older lines', async () => {
    const first = place.firstElementChild
    const was = first.getBoundingClientRect().top
    const page = await rpc('list_messages', { ...inside(), before_id: lines[0].id, page_size: 30 })
    lines.unshift(...page.messages)
    older = page.has_more
    draw()
    // What one was reading stays where it was.
    scrollBy(0, first.getBoundingClientRect().top - was)
    return false
  }, { class: 'quiet' }) : faint('Here it began.'))
  fill(place, lines.map(line))
}

function announce(fresh) {
  for (const one of fresh) {
    if (!one.user || !isMe(one.user)) at('heard').append(h('p', {}, said(one)))
  }
  while (at('heard').children.length > 10) at('heard').firstChild.remove()
}

async function seen() {
  const last = lines.at(-1)
  if (last && !document.hidden) await rpc('mark_chamber_read', { ...inside(), message_id: last.id })
}
