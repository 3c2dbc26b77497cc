/** The first thing to see without a token: paste one, or in development mode choose a user. */
import { hasSecret, spacesIn, type Account } from './account.ts'
import { h, setText } from './dom.ts'
import { messageOf } from './format.ts'

/** Calls `enter` until it succeeds; what it throws is shown. */
export function signIn(enter: (account: Account) => Promise<void>, problem?: string): HTMLElement {
  const told = h('p', { class: 'problem', role: 'alert' }, problem)
  const submit = (account: () => Account) => (event: Event) => {
    event.preventDefault()
    const button = (event.target as HTMLFormElement).querySelector('button')
    const tried = async (): Promise<void> => {
      setText(told, '')
      button?.toggleAttribute('disabled', true)
      try {
        await enter(account())
      } catch (error) {
        setText(told, messageOf(error))
      } finally {
        button?.toggleAttribute('disabled', false)
      }
    }
    void tried()
  }
  return h(
    'main',
    { class: 'sign-in' },
    h('img', { src: document.querySelector<HTMLLinkElement>('link[rel=icon]')?.href ?? '', alt: '', width: 48, height: 48 }),
    h('h1', {}, 'Tidemark console'),
    told,
    hasSecret() && developmentForm(submit),
    tokenForm(submit, !hasSecret()),
    h('p', { class: 'hint' }, 'In development mode, open the link that the server prints at its start. The token stays in this tab.'),
  )
}

type Submit = (account: () => Account) => (event: Event) => void

function developmentForm(submit: Submit): HTMLElement {
  const name = h('input', {
    id: 'name',
    value: 'alice',
    list: 'names',
    required: true,
    autocomplete: 'off',
    spellcheck: 'false',
    autofocus: true,
  })
  const spaces = h('input', { id: 'spaces', value: 'board-7=write', autocomplete: 'off', spellcheck: 'false' })
  return h(
    'form',
    { class: 'card', onsubmit: submit(() => ({ kind: 'development', name: name.value.trim(), spaces: spacesIn(spaces.value) })) },
    h('h2', {}, 'Pick a user'),
    h('label', { for: 'name' }, 'Name'),
    name,
    h('datalist', { id: 'names' }, ...['alice', 'bob', 'carol'].map((value) => h('option', { value }))),
    h('label', { for: 'spaces' }, 'Spaces'),
    spaces,
    h('button', { class: 'primary' }, 'Sign in'),
  )
}

function tokenForm(submit: Submit, first: boolean): HTMLElement {
  const token = h('textarea', {
    id: 'token',
    rows: 4,
    required: true,
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: 'eyJ…',
    autofocus: first,
  })
  return h(
    'form',
    { class: 'card', onsubmit: submit(() => ({ kind: 'pasted', token: token.value.trim() })) },
    h('h2', {}, 'Paste a token'),
    h('label', { for: 'token' }, 'Token of your app (JWT)'),
    token,
    h('button', { class: first ? 'primary' : '' }, 'Use token'),
  )
}
