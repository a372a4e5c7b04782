import { type Accents, mailAccentStyle } from '../ui/brand/colors.ts'
import type { Messages } from '../ui/messages.ts'
import type { Templates } from '../ui/templates.ts'
import type { Values, Words } from '../ui/words.ts'
import type { MailContent } from './content.ts'
import type { Message } from './transport.ts'

export type RenderMail = ReturnType<typeof createMailRenderer>

/**
 * Draws the mails of `interactions/mail/`: each is one template, drawn twice, as text and as HTML. Links lead to the
 * issuer, whatever host a request named; nothing is loaded from anywhere.
 */
export function createMailRenderer({
  brand: { name: brand, accents },
  issuer,
  messages,
  templates,
}: {
  brand: { name: string; accents: Accents | undefined }
  issuer: string
  messages: Messages
  templates: Templates
}) {
  const accentStyle = accents ? mailAccentStyle(accents) : ''
  return ({ kind, language, values }: MailContent): Pick<Message, 'subject' | 'text' | 'html'> => {
    const words = messages.for([language])
    const subject = words.t(`mail.${kind}.subject`, { brand })
    const url = 'link' in values ? issuer + values.link : issuer
    const draw = (form: Form) =>
      templates.draw(`mail/${kind}`, {
        ...values,
        ...form(words, { brand, issuer, url }),
        lang: words.lang,
        dir: words.dir,
        brand,
        accentStyle,
        subject,
      })
    return { subject, text: draw(asText).trim().concat('\n'), html: draw(asHtml) }
  }
}

type Known = { brand: string; issuer: string; url: string }

/** What a template says with: a paragraph, a link; and what is around all of it. */
type Form = (
  words: Words,
  known: Known,
) => { layout: string; say: (key: string, values?: Values) => string; link: (key: string) => string }

const asText: Form = ({ t }, { url, ...known }) => ({
  layout: './mail/layout-text',
  say: (key, values) => `${t(key, { ...known, ...values })}\n\n`,
  link: () => `${url}\n\n`,
})

const asHtml: Form = ({ html }, { url, ...known }) => ({
  layout: './mail/layout-html',
  say: (key, values) => `<p>${html(key, { ...known, ...values })}</p>\n`,
  // Our own addresses hold nothing but URL-safe characters. Below the button as text too: some readers show no buttons.
  link: (key) =>
    `<p><a class="button" href="${url}">${html(key, known)}</a></p>\n<p class="quiet">${url}</p>\n`,
})
