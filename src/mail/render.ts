import { type Accents, mailAccentStyle } from '../ui/brand/colors.ts'
import type { Messages } from '../ui/messages.ts'
import type { Templates } from '../ui/templates.ts'
import type { Values, Words } from '../ui/words.ts'
import type { MailContent } from './content.ts'
import type { Message } from './transport.ts'

type Needs = {
  brand: { name: string; accents: Accents | undefined }
  issuer: string
  messages: Messages
  templates: Templates
}

/**
 * Renders the templates of `interactions/mail/`, each as text and as HTML. Links use the issuer, never the Host header of
 * a request. A mail loads no images or styles from a server.
 */
export function createMailRenderer({ brand: { name: brand, accents }, issuer, messages, templates }: Needs) {
  const accentStyle = accents ? mailAccentStyle(accents) : ''
  return ({ kind, language, values }: MailContent): Pick<Message, 'subject' | 'text' | 'html'> => {
    const words = messages.for([language])
    const subject = words.t(`mail.${kind}.subject`, { brand })
    const url = 'link' in values ? issuer + values.link : issuer
    const render = (form: Form) =>
      templates.render(`mail/${kind}`, {
        ...values,
        ...form(words, { brand, issuer, url }),
        lang: words.lang,
        dir: words.dir,
        brand,
        accentStyle,
        subject,
      })
    return { subject, text: render(asText).trim().concat('\n'), html: render(asHtml) }
  }
}

type Common = { brand: string; issuer: string; url: string }

/** The functions and the layout that a template uses, for one of the two forms. */
type Form = (
  words: Words,
  common: Common,
) => { layout: string; say: (key: string, values?: Values) => string; link: (key: string) => string }

const asText: Form = ({ t }, { url, ...common }) => ({
  layout: './mail/layout-text',
  say: (key, values) => `${t(key, { ...common, ...values })}\n\n`,
  link: () => `${url}\n\n`,
})

const asHtml: Form = ({ html }, { url, ...common }) => ({
  layout: './mail/layout-html',
  say: (key, values) => `<p>${html(key, { ...common, ...values })}</p>\n`,
  // Our URLs need no escaping. The URL is below the button too, because some mail programs show no buttons.
  link: (key) =>
    `<p><a class="button" href="${url}">${html(key, common)}</a></p>\n<p class="quiet">${url}</p>\n`,
})
