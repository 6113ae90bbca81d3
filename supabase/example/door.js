// Before there is a community: signing in, an invite, joining or founding.
import { client, edge, once, settings } from './house.js'
import { card, faint, fill, form, h } from './html.js'
import { farewell } from './me.js'

// What Supabase Auth refuses has codes of its own, and words.
async function auth(asked) {
  const { data, error } = await asked
  if (error) throw new Error(error.code === 'invalid_credentials' ? 'No account has this address and this password.' : error.message)
  return data
}

const email = { name: 'email', label: 'E-mail address', type: 'email', required: true, autocomplete: 'username' }
const password = { name: 'password', label: 'Password', type: 'password', required: true, minlength: 6 }

export function signIn(main, why) {
  fill(main, [
    card('sign-in', h('p', {}, 'The Bureau of Declared Joy: a purse of coins every day, to be spent by saying what was good. What is left at Sunset is lost.'),
      h('h2', { tabindex: -1 }, 'Sign in'), why && h('p', { class: 'wrong', role: 'alert' }, why),
      form('Sign in', [{ ...email, list: 'seed', value: '' }, { ...password, autocomplete: 'current-password' }], 'Sign in', async (given) => {
        await auth(client.auth.signInWithPassword(given))
        return false
      }),
      h('datalist', { id: 'seed' }, settings.people.map((one) => h('option', { value: one }))),
      settings.people.length ? faint('Here live ', settings.people.map((one) => one.split('@')[0]).join(', '), ': ',
        h('code', {}, settings.people[0]), ' and so on, all with the password ', h('code', {}, 'declared joy'), '.') : null),
    h('details', { class: 'card', 'data-act': 'Sign up' }, h('summary', {}, 'New here? Sign up'),
      form('Sign up', [{ name: 'full_name', label: 'Name', required: true, maxlength: 80, autocomplete: 'name' }, email,
        { ...password, autocomplete: 'new-password' }], 'Sign up', async ({ full_name, ...given }) => {
        const { session } = await auth(client.auth.signUp({ ...given, options: { data: { full_name }, emailRedirectTo: location.href.split('#')[0] } }))
        return session ? false : 'A letter is on its way: open the link in it. (Here, letters are lines of .local/run/Auth.log.)'
      })),
  ])
}

export function waiting(main, enter) {
  fill(main, [
    card('invite', h('h2', { tabindex: -1 }, 'CHAS is by invitation'),
      form('Redeem an invite', [{ name: 'invite_code', label: 'Your invite’s code', required: true, maxlength: 60, autocomplete: 'off' }], 'Redeem', async (given) => {
        const { welcome_title, welcome_message } = await edge('POST', '/auth/invite/redeem', given)
        await enter()
        return [welcome_title ?? 'Welcome!', welcome_message].filter(Boolean).join(' ')
      }),
      faint('A steward mints one with ', h('code', {}, 'make steward DO=mint'), '.')),
    card('farewell', farewell()),
  ])
}

export function threshold(main, went) {
  fill(main, [
    card('join', h('h2', { tabindex: -1 }, 'Join a community'),
      form('Join', [{ name: 'invite_code', label: 'Join code (a moderator’s, under House)', required: true, maxlength: 60, autocomplete: 'off' }], 'Join',
        async (given) => { await went(await once('join_community', given)) })),
    card('found', h('h2', {}, 'Or found one'), form('Found', [
      { name: 'name', label: 'Name', required: true, maxlength: 50 },
      { name: 'description', label: 'What it is about (if you like)', maxlength: 200 },
      { name: 'daily_cc_budget', label: 'CC a day', type: 'number', min: 10, max: 1000, value: 100, required: true },
    ], 'Found', async (given) => {
      await went(await once('create_community', { ...given, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' }))
    })),
    card('farewell', farewell()),
  ])
}
