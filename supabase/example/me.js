// What is one's own, in whatever community: notices, profile, data, the account.
import { client, edge, inside, rpc, state } from './house.js'
import { ask, button, card, faint, form, h, hour, row } from './html.js'

let pages = 1

const MUTABLE = {
  witnessed: 'witnesses of my joys', borrow_approved: 'loans given', borrow_declined: 'loans declined', tip_to_tip: 'proposals', election: 'elections',
  jashn_e_chas: 'the Jashn', last_light: 'the last light', unwitnessed: 'joys nobody witnessed', system: 'what else the house says',
}
const muting = (type, muted, community_id = state.here.id) => rpc('mute_notifications', { community_id, type, muted })

export const notices = {
  title: 'Notices',
  ask: async () => {
    const [page, mutes] = await Promise.all([
      rpc('list_notifications', { page_size: Math.min(20 * pages, 200) }),
      state.here && rpc('list_mutes', inside()),
    ])
    return { page, muted: mutes?.muted }
  },
  show: ({ page, muted }) => [
    row(h('span', {}, page.unread ? `${page.unread} unread` : 'All read'),
      page.unread && button('Mark all read', async () => `${(await rpc('mark_all_notifications_read')).count} marked read.`, { class: 'quiet' })),
    page.notifications.map((notice) => {
      const home = state.communities.find((one) => one.id === notice.community_id)
      const node = card(`notice-${notice.id}`,
        row(h('strong', {}, notice.title), notice.count > 1 && h('span', { class: 'count' }, `${notice.count} times`),
          h('small', {}, home && `${home.name}, `, hour(notice.updated_at))),
        notice.body && h('p', {}, notice.body),
        row(
          !notice.read && button('Read', () => rpc('mark_notification_read', { notification_id: notice.id }), { class: 'quiet' }),
          notice.event === 'joy_unwitnessed' && !notice.read && button('Bear witness', async () => {
            await rpc('witness_declaration', { declaration_id: notice.ref_id })
            await rpc('mark_notification_read', { notification_id: notice.id })
            return 'You bore witness.'
          }, { class: 'quiet' }),
          home && ['last_light', 'unwitnessed'].includes(notice.type) && !(home === state.here && muted.includes(notice.type)) && button('No more of these',
            () => muting(notice.type, true, home.id).then(() => `No more of ${MUTABLE[notice.type]} from ${home.name}.`), { class: 'quiet' })))
      if (!notice.read) node.className = 'mine'
      return node
    }),
    !page.notifications.length && faint('Nothing yet.'),
    page.has_more && row(button('Older', () => { pages += 1 }, { class: 'quiet' })),
    state.here && card('mute', h('h3', {}, `Less from ${state.here.name}`), faint('Calls to vote and requests to borrow come through.'),
      form('Mute', Object.entries(MUTABLE).map(([type, label]) => ({ name: type, label, type: 'checkbox', checked: muted.includes(type) })), 'Mute these',
        async (given) => {
          for (const type of Object.keys(MUTABLE)) if (given[type] !== muted.includes(type)) await muting(type, given[type])
          return 'Set.'
        })),
  ],
}

export const me = {
  title: 'Me',
  ask: () => rpc('get_me'),
  show: (one) => [
    card('profile', h('h3', {}, one.display_name), faint(one.email), form('Profile', [
      { name: 'display_name', label: 'Name', required: true, maxlength: 80, value: one.display_name },
      { name: 'avatar_url', label: 'A picture’s address (if you like)', type: 'url', maxlength: 2048, value: one.avatar_url ?? '' },
    ], 'Save', async (given) => {
      // What is left out, or null, stays; an empty address takes the picture away.
      state.me = await rpc('update_me', given)
      return 'Saved.'
    })),
    card('data', h('h3', {}, 'Your data'), row(button('Take it along', takeAlong, { class: 'quiet' }))),
    card('account', h('h3', {}, 'Your account'), farewell()),
  ],
}

async function takeAlong() {
  const text = JSON.stringify(await rpc('export_my_data'), null, 2)
  const link = h('a', { href: URL.createObjectURL(new Blob([text], { type: 'application/json' })), download: 'chas.json' })
  link.click()
  URL.revokeObjectURL(link.href)
  return 'Everything about you is in chas.json.'
}

export function farewell() {
  return row(
    button('Sign out', async () => { await client.auth.signOut(); return false }, { class: 'quiet' }),
    button('Erase my account', async () => {
      const given = await ask('Erase your account?', { yes: 'Erase it for good', danger: true,
        words: 'Your name and your words vanish everywhere, at once and for good. Purses and stakes are lost.',
        fields: [{ name: 'sure', label: 'Write “erase” to be sure', required: true, pattern: 'erase', autocomplete: 'off' }] })
      if (!given) return false
      await edge('DELETE', '/account')
      await client.auth.signOut({ scope: 'local' })
      return false
    }, { class: 'danger' }))
}
