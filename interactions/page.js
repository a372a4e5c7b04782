/* Progressive enhancement of the pages. They work without it, and it creates the controls that need it. */
(() => {
  'use strict'

  const EYE =
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M2 12s3.6-7 10-7 10 7 10 7-3.6 7-10 7-10-7-10-7z"/><circle cx="12" cy="12" r="3"/><path class="slash" d="M4 20 20 4"/></svg>'

  for (const form of document.forms) sendOnce(form)

  for (const secret of document.querySelectorAll('.secret')) {
    const input = secret.querySelector('input')
    addReveal(secret, input)
    addCapsLockHint(secret, input)
    if (secret.dataset.advice) addAdvice(secret, input)
  }

  /** A double click sends a form once: a second answer to a sign-in page would start the request again. */
  function sendOnce(form) {
    const pauseMilliseconds = 2000
    let sentAt = Number.NEGATIVE_INFINITY
    form.addEventListener('submit', (event) => {
      if (event.timeStamp - sentAt < pauseMilliseconds) event.preventDefault()
      else sentAt = event.timeStamp
    })
  }

  /**
   * Adds a button that shows the password. It is hidden again before the form is sent, because browsers save passwords
   * from password fields only.
   */
  function addReveal(secret, input) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'reveal'
    button.title = secret.dataset.show
    button.setAttribute('aria-label', secret.dataset.show)
    button.setAttribute('aria-controls', input.id)
    button.innerHTML = EYE
    const show = (isShown) => {
      input.type = isShown ? 'text' : 'password'
      button.setAttribute('aria-pressed', String(isShown))
    }
    show(false)
    button.addEventListener('click', () => {
      show(input.type === 'password')
      input.focus()
    })
    input.form.addEventListener('submit', () => show(false))
    input.after(button)
  }

  /** Adds a hint while Caps Lock is on. Its place is reserved, so that nothing moves. */
  function addCapsLockHint(secret, input) {
    const hint = secret.querySelector('.caps')
    const say = (isOn) => {
      const words = isOn ? secret.dataset.caps : ''
      if (hint.textContent !== words) hint.textContent = words
    }
    const look = (event) => say(event.getModifierState?.('CapsLock') === true)
    for (const type of ['keydown', 'keyup', 'mousedown']) input.addEventListener(type, look)
    input.addEventListener('blur', () => say(false))
  }

  /** Shows the server's advice on a new password after a pause in typing. A late answer is ignored. */
  function addAdvice(secret, input) {
    const place = secret.querySelector('.advice')
    let resting
    let asked
    input.addEventListener('input', () => {
      clearTimeout(resting)
      asked?.abort()
      if (input.value === '') place.textContent = ''
      else resting = setTimeout(ask, 400)
    })

    async function ask() {
      asked = new AbortController()
      const body = new URLSearchParams({ new_password: input.value })
      for (const name of ['csrf', 'username', 'email', 'name']) {
        const field = input.form.elements.namedItem(name)
        if (field) body.set(name, field.value)
      }
      try {
        const answer = await fetch(secret.dataset.advice, { method: 'POST', body, signal: asked.signal })
        const { advice = '' } = answer.ok && !answer.redirected ? await answer.json() : {}
        if (place.textContent !== advice) place.textContent = advice
      } catch {
        // Without an answer there is no advice; the submitted form returns the same message.
      }
    }
  }
})()
