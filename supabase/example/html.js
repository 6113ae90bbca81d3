// The little that replaces a framework: nodes, forms, a dialog, and a way to show a list anew without taking away what
// somebody holds: the focus, a half-written form, an open drawer.
import { explain } from './house.js'

export const at = (id) => document.getElementById(id)

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') node.addEventListener(name, value)
    else if (value != null && value !== false) node.setAttribute(name, value === true ? '' : value)
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== ''))
  return node
}

// Within a week a day has a name; else it has a date.
export const hour = (moment) => h('time', { datetime: moment }, new Date(moment).toLocaleString([], {
  ...(Math.abs(Date.now() - Date.parse(moment)) < 6 * 864e5 ? { weekday: 'short' } : { day: 'numeric', month: 'short' }),
  hour: '2-digit', minute: '2-digit', hourCycle: 'h23',
}))
export const date = (moment) => h('time', { datetime: moment },
  new Date(moment).toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' }))
// A day is a day wherever one reads of it: it has no hour and no zone.
export const day = (on, how = { weekday: 'short', day: 'numeric', month: 'short' }) => h('time', { datetime: on },
  new Date(`${on}T12:00Z`).toLocaleDateString([], { timeZone: 'UTC', ...how }))
export const cc = (amount) => h('span', { class: 'coin' }, `${amount} CC`)
export const row = (...children) => h('div', { class: 'row' }, children)
export const faint = (...words) => h('p', { class: 'faint' }, words)
export const card = (key, ...children) => h('article', { 'data-key': key }, children)
export const section = (key, title, ...children) => card(key, h('h3', {}, title), children)
export const fold = (key, title, ...children) => h('details', { class: 'card', 'data-key': key, 'data-act': title }, h('summary', {}, title), children)
export const table = (caption, head, rows) => h('table', {}, h('caption', { class: 'unseen' }, caption),
  h('thead', {}, h('tr', {}, head.map((words) => h('th', { scope: 'col' }, words)))),
  h('tbody', {}, rows.map((cells) => h('tr', {}, cells.map((cell) => h('td', {}, cell))))))

// ------------------------------------------------------------------ acting

// Set by page.js: what follows when something was done.
export const after = { act: async () => {} }

export function button(words, act, props = {}) {
  return h('button', { type: 'button', 'data-act': words, click: (event) => run(event.currentTarget, act), ...props }, words)
}

// What fields are: { name, label, type, options, … } with whatever else an input takes.
export function field({ label, type = 'text', options, value, ...props }) {
  const input = options
    ? h('select', props, options.map(([of, words]) => h('option', { value: of, selected: of === value }, words)))
    : type === 'textarea' ? h('textarea', { rows: 2, ...props }, value)
    : h('input', { type, value, ...props })
  return type === 'checkbox' ? h('label', { class: 'check' }, input, label) : h('label', {}, h('span', {}, label), input)
}

// name is what a screen reader calls the form; one that stands in each of many cards is `plain`, and not called anything.
export function form(name, fields, send, act, props = {}) {
  const submit = h('button', { 'data-act': send, class: props.class }, send)
  const node = h('form', { 'aria-label': !props.plain && name, 'data-act': name }, fields.map(field), submit)
  node.addEventListener('input', () => forgive(node))
  node.addEventListener('submit', (event) => {
    event.preventDefault()
    run(submit, async () => {
      const done = await act(given(node))
      node.reset()
      return done
    }, node)
  })
  return node
}

export function given(node) {
  return Object.fromEntries([...node.elements].filter((input) => input.name).map((input) => [input.name,
    input.type === 'number' ? (input.value === '' ? null : input.valueAsNumber)
      : input.type === 'checkbox' ? input.checked : input.value]))
}

// A button that was pressed is busy, not disabled: the focus stays on it.
export async function run(node, act, cause = node) {
  if (node.getAttribute('aria-disabled') === 'true') return
  node.setAttribute('aria-disabled', 'true')
  try {
    forgive(cause)
    const done = await act()
    forgiveAll()
    node.removeAttribute('aria-disabled')
    if (typeof done === 'string') tell(done)
    if (done !== false) await after.act()
  } catch (error) {
    complain(cause, error)
  } finally {
    node.removeAttribute('aria-disabled')
  }
}

export function tell(words) {
  at('told').textContent = words
  clearTimeout(tell.timer)
  tell.timer = setTimeout(() => { at('told').textContent = '' }, 6000)
}

// ------------------------------------------------------------------ what went wrong

// It stands beside its cause, and goes with it: at the next try, the next letter, the next thing that succeeds.
export function complain(cause, error) {
  if (!error.no) console.error(error)
  if (error.no?.code === 'UNAUTHORIZED') return after.lost()
  forgive(cause)
  const wrong = h('p', { class: 'wrong', role: 'alert', 'data-code': error.no?.code, 'data-cause': cause.dataset.act }, explain(error))
  if (cause.matches('form')) cause.append(wrong)
  else (cause.closest('.row') ?? cause).after(wrong)
  const named = error.no?.facts.field && cause.elements?.namedItem(error.no.facts.field)
  if (named) {
    named.setAttribute('aria-invalid', 'true')
    named.focus()
  }
}

export function forgive(cause) {
  for (const wrong of document.querySelectorAll('.wrong')) if (wrong.dataset.cause === cause.dataset.act) wrong.remove()
  cause.querySelectorAll?.('[aria-invalid]').forEach((input) => input.removeAttribute('aria-invalid'))
}

export function forgiveAll() {
  document.querySelectorAll('.wrong').forEach((wrong) => wrong.remove())
  document.querySelectorAll('[aria-invalid]').forEach((input) => input.removeAttribute('aria-invalid'))
}

// ------------------------------------------------------------------ asking back

// A question with fields; resolves with what was filled in, or null. The focus returns where it came from.
export function ask(question, { words, fields = [], yes = 'Yes', danger = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { 'aria-label': question, close: () => { dialog.remove(); resolve(dialog.given ?? null) } })
    const asked = h('form', { 'data-act': question, submit: (event) => {
      event.preventDefault()
      dialog.given = given(asked)
      dialog.close()
    } }, h('h2', {}, question), words && h('p', {}, words), fields.map(field),
    row(h('button', { class: danger && 'danger' }, yes),
      h('button', { type: 'button', class: 'quiet', click: () => dialog.close() }, 'Cancel')))
    dialog.append(asked)
    document.body.append(dialog)
    dialog.showModal()
  })
}

export function show(title, nodes) {
  const dialog = h('dialog', { 'aria-label': title, close: () => dialog.remove() }, h('h2', {}, title), nodes,
    row(h('button', { type: 'button', class: 'quiet', click: () => dialog.close() }, 'Close')))
  document.body.append(dialog)
  dialog.showModal()
  return dialog
}

// A drawer that asks for what is in it when it is opened.
export function drawer(words, load) {
  const place = h('div', {})
  const node = h('details', { 'data-act': words, toggle: async () => {
    if (!node.open) return
    try { fill(place, await load()) } catch (error) { complain(place, error) }
  } }, h('summary', {}, words), place)
  node.again = () => node.open && load().then((nodes) => fill(place, nodes))
  return node
}

// ------------------------------------------------------------------ showing anew

// Puts fresh nodes where old ones were. A node whose like is there already stays; only what differs is replaced.
export function fill(place, nodes) {
  const fresh = [nodes].flat(Infinity).filter(Boolean)
  fresh.forEach((node, n) => { node.dataset.key ??= `${node.tagName}-${n}` })
  const before = new Map([...place.children].map((node) => [node.dataset.key, node]))
  const held = document.activeElement
  const kept = new Set()
  let next = place.firstElementChild
  for (const node of fresh) {
    const old = before.get(node.dataset.key)
    if (old && old === next) next = next.nextElementSibling
    if (old?.isEqualNode(node)) {
      kept.add(old)
      if (old.nextElementSibling !== next) place.insertBefore(old, next)
      continue
    }
    if (old) carry(old, node)
    place.insertBefore(node, next)
    if (old) {
      old.remove()
      if (old.contains(held)) hold(held, node)
    }
  }
  for (const gone of [...place.children]) if (!fresh.includes(gone) && !kept.has(gone)) gone.remove()
  if (held.isConnected && document.activeElement !== held && place.contains(held)) held.focus({ preventScroll: true })
}

// What somebody opened, wrote or was told in the old node goes over to the new one.
function carry(old, node) {
  const like = (inner) => [...node.querySelectorAll('[data-act]')].find((one) =>
    one.tagName === inner.tagName && one.dataset.act === inner.dataset.act)
  if (old.matches('details[open]')) node.open = true
  for (const open of old.querySelectorAll('details[open]')) like(open)?.replaceWith(open)
  for (const wrote of [...old.querySelectorAll('form'), ...(old.matches('form') ? [old] : [])]) {
    const now = wrote === old ? node : like(wrote)
    for (const input of now?.matches('form') ? wrote.elements : []) {
      const same = input.name && now.elements.namedItem(input.name)
      if (same && input.type !== 'checkbox' && input.value !== input.defaultValue) same.value = input.value
    }
  }
  for (const wrong of old.querySelectorAll('.wrong')) {
    const cause = [...node.querySelectorAll('[data-act]')].find((one) => one.dataset.act === wrong.dataset.cause)
    if (cause?.matches('form')) cause.append(wrong)
    else (cause?.closest('.row') ?? cause)?.after(wrong)
  }
}

function hold(held, node) {
  if (node.contains(held)) return held.focus({ preventScroll: true })
  const named = (one) => (held.name && one.name === held.name) || (held.dataset.act && one.dataset.act === held.dataset.act)
  const heir = [...node.querySelectorAll('input, select, textarea, button, summary, a')].find(named)
  if (heir) {
    heir.focus({ preventScroll: true })
    if (held.selectionStart != null && heir.setSelectionRange) heir.setSelectionRange(held.selectionStart, held.selectionEnd)
  } else {
    // The button is gone, for it did its work: the focus stays on the card it stood in.
    node.tabIndex = -1
    node.focus({ preventScroll: true })
  }
}
